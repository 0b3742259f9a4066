"""Runs the adjoint equations backwards."""

from __future__ import annotations

import time
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flashode.engines.compiled.requests import ContinuousRequest
from flashode.engines.generated.joined import joined
from flashode.engines.generated.locate import of_adjoint
from flashode.engines.numba.batch import Batch
from flashode.engines.numba.budget import Budget
from flashode.engines.numba.entry import loop
from flashode.engines.numba.layout import Layout, address_of
from flashode.engines.numba.loops.quadrature import PARTS
from flashode.engines.numba.loops.records import ADJOINT, GOAL, INTERRUPTED, PROGRESS, STEP, UNLIMITED
from flashode.engines.numba.outcome import NumbaOutcome, located, outcome_of
from flashode.engines.numba.parameter_sums import most_groups
from flashode.engines.numba.workers import workers
from flashode.memory import address

_KINDS = {"adjoint": ADJOINT, "goal": GOAL, "progress": PROGRESS, "step": STEP}


def integrate(request: ContinuousRequest, batch: Batch, threads: int, budget: Budget) -> NumbaOutcome:
    """Integrates; see ``Backend.continuous_vjp``.

    Args:
        request: What is asked for.
        batch: Its batch, with the vjp.
        threads: How many workers are useful.
        budget: When it pauses.
    """
    began = time.perf_counter()
    quadrature = Quadrature(request, batch)
    with workers.reserved(min(threads, quadrature.groups)) as count:
        run = _Run(request, batch, quadrature, count)
        while run.go_on(budget):
            pass
    return run.result(time.perf_counter() - began)


class Quadrature:
    """dL/dt, and the gradients in parameters that are wanted after it, as the loops integrate them.

    Attributes:
        size: Numbers.
        groups: Groups of tiles, each of which gathers rates of its own.
        group_tiles: Tiles of each.
    """

    def __init__(self, request: ContinuousRequest, batch: Batch) -> None:
        self._request = request
        sizes = [0 if gradient is None else gradient.numel() for gradient in request.grad_parameters]
        ends = list(accumulate(sizes, initial=1))
        self._ranges = {p: (ends[p], ends[p + 1]) for p, size in enumerate(sizes) if size}
        self.size = ends[-1]
        self._sets = max(int(batch.record[0]["stages"]), 2)
        self.group_tiles = -(-batch.tiles // most_groups(self._sets * self.size))
        self.groups = -(-batch.tiles // self.group_tiles)
        self._gathered = np.zeros((self.groups, self._sets, self.size))
        self._rate = np.zeros((self._sets, self.size))
        self._parts = np.zeros((PARTS, self.size))
        begins = np.array([ends[p] if size else 0 for p, size in enumerate(sizes)] or [0], np.int64)
        first = address_of(self._gathered) + 8 * self.size * np.arange(self.groups * self._sets)[:, None]
        self._places = np.where(begins > 0, first + 8 * begins, 0).astype(np.int64)
        joins = [join for join in request.transposes if join[0] in self._ranges and join[1] in self._ranges]
        transposes = {p for p, *_ in joins}
        # A transpose counts with the parameter that it transposes.
        measured = [span for p, span in self._ranges.items() if p not in transposes and not request.seminorm]
        self._measured = np.array([(0, 1), *measured], np.int64)
        self._joined: tuple[Tensor, ...] = ()
        if joins:
            spans = [
                (self._ranges[p][0], self._ranges[of][0], rows, columns) for p, of, rows, columns in joins
            ]
            self._joined = joined(self.size, spans)

    def write(self, system: Any, worker: int, count: int) -> None:
        """Writes it to a worker's system."""
        for name, number in (
            ("groups", self.groups),
            ("sets", self._sets),
            ("places", address_of(self._places)),
            ("gathered", address_of(self._gathered)),
            ("rate", address_of(self._rate)),
            ("quadrature", address_of(self._parts)),
            ("quadrature_size", self.size),
            ("quadrature_first", self.size * worker // count),
            ("quadrature_last", self.size * (worker + 1) // count),
            ("ranges", address_of(self._measured)),
            ("range_count", len(self._measured)),
        ):
            system[name] = number
        if self._joined:
            system["starts"], system["sources"] = map(address, self._joined)

    def hand_over(self) -> None:
        """Writes the gradients in parameters."""
        total = self._parts[PARTS - 1]
        for p, (begin, end) in self._ranges.items():
            gradient = self._request.grad_parameters[p]
            assert gradient is not None
            gradient.copy_(torch.from_numpy(total[begin:end]).view_as(gradient))


def _layout(batch: Batch, group_tiles: int, count: int) -> Layout:
    """The memory of integrations like this one."""
    numbers = {"progress": {"room": UNLIMITED}, "adjoint": {"j": -1}}
    return Layout(batch.record, _KINDS, count, group_tiles, batch.work(), numbers=numbers)


class _Run:
    """One integration."""

    def __init__(self, request: ContinuousRequest, batch: Batch, quadrature: Quadrature, count: int) -> None:
        self._request, self._batch, self._quadrature = request, batch, quadrature
        field = request.field
        by_tiles = {} if field.c is None else {"c": batch.by_tiles(field.c)}
        layout = batch.layout(count, partial(_layout, batch, quadrature.group_tiles, count))
        self._memory = layout.memory(batch.addresses(field), **by_tiles)
        self._adjoint = request.grad_states.new_zeros(batch.rows * batch.batch)
        self._misses, self._sizes = np.zeros((2, batch.tiles)), np.zeros(batch.tiles)
        self._ends = np.zeros((count, 2))
        self._grids = [np.array(grid, np.float64) for grid in request.grids]
        self._grid_table = np.array([(address_of(g), len(g)) for g in self._grids] or [(0, 0)], np.int64)
        equations = {
            "times": address(request.times),
            "time_count": request.times.numel(),
            "grids": address_of(self._grid_table) if self._grids else 0,
            "states": address(request.states),
            "grad_states": address(request.grad_states),
            "grad_y0": address(request.grad_y0),
            "grad_c": address(request.grad_c),
            "grad_times": address(request.grad_times),
        }
        for worker, records in enumerate(self._memory.workers):
            quadrature.write(records["system"], worker, count)
            own, goal = records["adjoint"], records["goal"]
            for name, number in equations.items():
                own[name] = number
            own["ends"] = address_of(self._ends[worker])
            goal["leads"], goal["adjoint"] = worker == 0, address(self._adjoint)
            goal["misses"], goal["sizes"] = address_of(self._misses), address_of(self._sizes)

    def go_on(self, budget: Budget) -> bool:
        """Goes on; whether it has yet to end."""
        attempts = budget.attempts
        for records in self._memory.workers:
            records["progress"]["budget"] = attempts
        began = time.perf_counter()
        run = loop("continuous_vjp", self._request.grad_states.dtype)
        workers.run(self._memory.tasks(run, "system", "adjoint", "goal", "progress", "step"), self)
        first = self._memory.workers[0]
        if first["adjoint"]["status"] != INTERRUPTED:
            return False
        budget.adapt(attempts - max(int(first["progress"]["budget"]), 0), time.perf_counter() - began)
        return True

    def result(self, seconds: float) -> NumbaOutcome:
        """What the integration gives; writes the gradients that are not a trajectory's."""
        equations = self._memory.workers[0]["adjoint"]
        outcome = outcome_of(equations, seconds)
        outcome.miss, outcome.miss_t = float(equations["miss"]), float(equations["miss_t"])
        outcome.size = float(self._sizes.max(initial=0.0))
        if not outcome.done:
            return located(outcome, of_adjoint(self._request), self._batch.stop(self._memory))
        self._quadrature.hand_over()
        self._memory.layout.give_back(self._memory)
        return outcome
