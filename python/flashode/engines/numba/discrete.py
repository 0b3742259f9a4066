"""Runs the exact reverse of a recorded solve."""

from __future__ import annotations

import time
from array import array
from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from flashode.engines.compiled.requests import DiscreteRequest
from flashode.engines.numba.batch import Batch
from flashode.engines.numba.budget import Budget
from flashode.engines.numba.entry import loop
from flashode.engines.numba.fields.field_code import Function
from flashode.engines.numba.forward import Log
from flashode.engines.numba.layout import Layout, address_of
from flashode.engines.numba.loops.records import REVERSE, STEP
from flashode.engines.numba.loops.reverse_step import ROWS
from flashode.engines.numba.parameter_sums import GroupedParameters, ParameterSums
from flashode.engines.numba.workers import workers
from flashode.memory import address

_KINDS = {"reverse": REVERSE, "step": STEP}


def reverse(request: DiscreteRequest, batch: Batch, vjp: Function, threads: int, budget: Budget) -> None:
    """Reverses; see ``Backend.discrete_vjp``.

    Args:
        request: What is asked for.
        batch: Its batch, of the tiles that the checkpoints are made of.
        vjp: The field's.
        threads: How many workers are useful.
        budget: When it pauses.
    """
    sizes = tuple([0 if gradient is None else gradient.numel() for gradient in request.grad_parameters])
    grouped = batch.grouped(sizes)
    with workers.reserved(min(threads, grouped.groups)) as count:
        run = _Run(request, batch, vjp, grouped, count)
        while run.go_on(budget):
            pass
    run.hand_over()


def _layout(batch: Batch, vjp: Function, group_tiles: int, count: int) -> Layout:
    """The memory of reverses like this one."""
    tile = batch.width * batch.lanes
    scratch = {"scratch": (ROWS + batch.stages) * tile, "context": batch.context_width * batch.lanes}
    size = batch.width * batch.batch * (2 if batch.with_slope else 1)
    numbers = {"reverse": {"vjp_code": vjp.address, "checkpoint_size": size}}
    arrays = {"reverse": scratch}
    return Layout(batch.record, _KINDS, count, group_tiles, batch.work(vjp), arrays=arrays, numbers=numbers)


class _Run:
    """One reverse pass."""

    def __init__(
        self, request: DiscreteRequest, batch: Batch, vjp: Function, grouped: GroupedParameters, count: int
    ) -> None:
        self._request, self._sums = request, ParameterSums(grouped)
        log = request.log
        assert isinstance(log, Log) and log.lanes == batch.lanes
        by_tiles = {} if request.field.c is None else {"c": batch.by_tiles(request.field.c)}
        key = "discrete", vjp.address, grouped.group_tiles, count
        layout = batch.layout(key, partial(_layout, batch, vjp, grouped.group_tiles, count))
        self._memory = layout.memory(batch.addresses(request.field), **by_tiles)
        self._chunks = array("q", [address(chunk) for chunk in request.checkpoints] or (0,))
        numbers = {
            "times": address(request.times),
            "time_count": request.times.numel(),
            "grad_states": address(request.grad_states),
            "size": request.grad_y0.numel(),
            "steps": address_of(log.steps),
            "step_count": len(log.steps),
            "step_of_time": address_of(log.step_of_time),
            "nodes": log.nodes,
            "chunk_firsts": address_of(log.chunks),
            "chunks": self._chunks.buffer_info()[0],
            "chunk_count": len(log.chunks),
            "grad_y0": address(request.grad_y0),
            "grad_c": address(request.grad_c),
            "places": address_of(self._sums.places),
        }
        self._time_sums: npt.NDArray[np.float64] | None = None
        self._grid_sums: npt.NDArray[np.float64] | None = None
        if request.grad_times is not None and request.grad_grid is not None:
            self._time_sums = np.zeros((grouped.groups, request.grad_times.numel()))
            self._grid_sums = np.zeros((grouped.groups, request.grad_grid.numel()))
            stopped = np.flatnonzero(log.steps["stopped"])
            numbers |= {
                "wants_times": True,
                "moving": int(stopped[0]) if len(stopped) else len(log.steps),
                "time_sums": address_of(self._time_sums),
                "grid_sums": address_of(self._grid_sums),
                "points": request.grad_grid.numel(),
            }
        for records in self._memory.workers:
            own = records["reverse"]
            for name, number in numbers.items():
                own[name] = number
            own["tile"] = records["system"]["first"]

    def go_on(self, budget: Budget) -> bool:
        """Goes on; whether there is more to do."""
        steps = budget.attempts
        for records in self._memory.workers:
            records["reverse"]["budget"] = steps
        began = time.perf_counter()
        run = loop("discrete_vjp", self._request.grad_states.dtype)
        workers.run(self._memory.tasks(run, "system", "reverse", "step"), self)
        left = any(own["reverse"]["tile"] < own["system"]["last"] for own in self._memory.workers)
        if left:
            budget.adapt(steps, time.perf_counter() - began)
        return left

    def hand_over(self) -> None:
        """Writes what groups of tiles have added up."""
        request = self._request
        self._sums.hand_over(request.grad_parameters)
        for to, sums in ((request.grad_times, self._time_sums), (request.grad_grid, self._grid_sums)):
            if to is not None and sums is not None:
                to += torch.from_numpy(sums.sum(0))
        self._memory.layout.give_back(self._memory)
