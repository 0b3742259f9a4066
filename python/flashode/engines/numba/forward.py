"""Runs a forward solve: memory, workers, and what there is to do when it pauses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from flashode.engines.compiled.outcome import ForwardResult
from flashode.engines.compiled.requests import EvaluatedField, ForwardRequest
from flashode.engines.generated.locate import of_state
from flashode.engines.numba.batch import Batch
from flashode.engines.numba.budget import Budget
from flashode.engines.numba.entry import loop
from flashode.engines.numba.fields.field_code import FieldCode
from flashode.engines.numba.layout import Layout, address_of
from flashode.engines.numba.loops.records import (
    EVENT,
    EVERY_STEP,
    GOAL,
    INTERRUPTED,
    PROGRESS,
    STEP,
    TIMES,
    UNLIMITED,
)
from flashode.engines.numba.outcome import NumbaOutcome, located, outcome_of
from flashode.engines.numba.workers import workers
from flashode.memory import address
from flashode.problem import FixedOptions
from flashode.program import Y

# Steps that the first chunk of memory is for, where no solve before says how many there are, and how many
# bytes it may take.
_FIRST_STEPS = 64
_FIRST_BYTES = 16 * 2**20
# Bytes that a record may keep for steps that there were not: less is not worth a copy of the rest.
_MOST_SPARE_BYTES = 2**20


@dataclass(frozen=True)
class Log:
    """What the reverse needs beside the checkpoints.

    Attributes:
        steps: Those that there were.
        chunks: The first step of each chunk of checkpoints.
        step_of_time: Which of them each output lies in; -1 for those at the start.
        nodes: Whether the outputs are nodes of the steps.
        lanes: Trajectories of the tiles that checkpoints are made of.
    """

    steps: npt.NDArray[np.void]
    chunks: npt.NDArray[np.int64]
    step_of_time: npt.NDArray[np.int64]
    nodes: bool
    lanes: int


_NO_STEPS, _NO_TIMES = np.empty(0, STEP), np.empty(0, np.int64)
_KINDS = {"goal": GOAL, "progress": PROGRESS, "step": STEP}


def solve(
    request: ForwardRequest, batch: Batch, event: FieldCode | None, threads: int, budget: Budget
) -> ForwardResult:
    """Solves; see ``Backend.forward``.

    Args:
        request: What is asked for.
        batch: Its batch.
        event: The event function's code.
        threads: How many workers are useful.
        budget: When it pauses.
    """
    began = time.perf_counter()
    with workers.reserved(min(threads, batch.tiles)) as count:
        run = _Run(request, batch, event, count)
        while run.go_on(budget):
            pass
    return run.result(time.perf_counter() - began)


def _layout(request: ForwardRequest, batch: Batch, kind: int, count: int) -> Layout:
    """The memory of solves like this one."""
    options = request.integrator.options
    goal: dict[str, float] = {"kind": kind, "size": request.y0.numel(), "records": request.record}
    if kind == EVENT and isinstance(options, FixedOptions):
        goal["step_size"] = options.step_size or 0.0
    progress = {"undefined": np.nan, "room": UNLIMITED}
    numbers = {"goal": goal, "progress": progress}
    return Layout(batch.record, _KINDS, count, 1, batch.work(), numbers=numbers)


class _Run:
    """One solve."""

    def __init__(self, request: ForwardRequest, batch: Batch, event: FieldCode | None, count: int) -> None:
        self._request, self._batch = request, batch
        y0 = request.y0
        self._keeps = request.record or request.every_step
        by_tiles = {}
        if request.field.c is not None:
            by_tiles["c"] = batch.by_tiles(request.field.c)
        if request.rtol is not None:
            by_tiles["rtols"] = batch.state_by_tiles(request.rtol)
        if request.atol is not None:
            by_tiles["atols"] = batch.state_by_tiles(request.atol)
        kind = EVERY_STEP if request.every_step else TIMES if request.event is None else EVENT
        layout = batch.layout((kind, request.record, count), partial(_layout, request, batch, kind, count))
        self._memory = layout.memory(batch.addresses(request.field), **by_tiles)
        self._kept: list[Any] = []
        self._checkpoints: list[Tensor] = []
        self._nodes: list[tuple[Tensor, Tensor]] = []
        self._first_of_chunk: list[int] = []
        self._degree = batch.degree
        self._checkpoint_size = batch.rows * batch.batch * (2 if batch.with_slope else 1)
        self._steps = _NO_STEPS
        self._states = y0.new_empty(1, *y0.shape) if request.every_step else request.states
        self._step_of_time = _NO_TIMES
        if request.record and not request.every_step:
            outputs = request.times.numel() if request.event is None else 2
            self._step_of_time = np.full(outputs, -1, np.int64)
        goal = self._goal()
        for records in self._memory.workers:
            own = records["goal"]
            for name, number in goal.items():
                own[name] = number
        self._memory.workers[0]["goal"]["leads"] = True
        if event is not None:
            self._set_event(event)
        if self._keeps:
            self._grow()

    def _goal(self) -> dict[str, float]:
        request = self._request
        goal: dict[str, float] = {
            "times": address(request.times),
            "time_count": request.times.numel(),
            "states": address(self._states),
            "y0": address(request.y0),
            "grid": address(request.grid),
            "grid_count": request.grid.numel(),
        }
        if self._step_of_time.size:
            goal["step_of_time"] = address_of(self._step_of_time)
        return goal

    def _set_event(self, code: FieldCode) -> None:
        """An event function's memory."""
        event, y0 = self._request.event, self._request.y0
        assert isinstance(event, EvaluatedField)
        width = event.program.widths[Y]
        parameters = code.addresses(map(address, event.parameters))
        signs = np.zeros(width)
        state, value = y0.new_zeros(width), y0.new_zeros(width)
        uniform, work = (y0.new_empty(max(n, 1)) for n in (code.uniform_size, code.field.work(1)))
        self._kept += [parameters, signs, state, value, uniform, work]
        atol = self._request.atol
        tolerance = self._request.integrator.atol if atol is None else float(atol.min())
        for name, number in (
            ("code", code.field.address),
            ("shared_code", code.shared_address),
            ("parameters", parameters.buffer_info()[0]),
            ("uniform", address(uniform)),
            ("direction", event.shape.direction),
            ("tolerance", tolerance),
            ("width", width),
            ("state", address(state)),
            ("value", address(value)),
            ("signs", signs.ctypes.data),
            ("work", address(work)),
        ):
            for records in self._memory.workers:
                records["goal"][f"event_{name}"] = number

    def _grow(self) -> None:
        """Makes room for steps: as many as there has been room for."""
        request, batch = self._request, self._batch
        at = self._memory.workers[0]["progress"]
        kept = int(at["kept"])
        size = self._checkpoint_size
        count = kept or self._first_steps(size * batch.itemsize)
        self._first_of_chunk.append(kept)
        steps = np.empty(kept + count, STEP)
        if kept:
            steps[:kept] = self._steps[:kept]
        self._steps = steps
        if request.record:
            self._checkpoints.append(request.y0.new_empty(count * size))
        if request.every_step:
            nodes = count * self._degree
            times = torch.empty(nodes, dtype=torch.float64, device="cpu")
            self._nodes.append((times, request.y0.new_empty(nodes, request.y0.numel())))
        for records in self._memory.workers:
            goal = records["goal"]
            goal["first_kept"], goal["steps"] = kept, address_of(steps)
            if request.record:
                goal["checkpoints"] = address(self._checkpoints[-1])
            if request.every_step:
                goal["node_times"], goal["node_states"] = map(address, self._nodes[-1])
            records["progress"]["room"] = kept + count

    def _first_steps(self, step_bytes: int) -> int:
        request = self._request
        on_grid = request.integrator.method.control == "fixed"
        if on_grid and request.event is None and request.grid.numel() > 1:
            return request.grid.numel() - 1
        known = request.field.shape.memo.get("steps")
        if known is not None:
            return int(known) + int(known) // 8 + 1
        return max(1, min(_FIRST_STEPS, _FIRST_BYTES // max(step_bytes, 1)))

    def go_on(self, budget: Budget) -> bool:
        """Goes on; whether the solve has yet to end."""
        attempts = budget.attempts
        for records in self._memory.workers:
            records["progress"]["budget"] = attempts
        began = time.perf_counter()
        run = loop("forward", self._request.y0.dtype)
        workers.run(self._memory.tasks(run, "system", "goal", "progress", "step"), self)
        at = self._memory.workers[0]["progress"]
        if at["status"] != INTERRUPTED:
            return False
        budget.adapt(attempts - max(int(at["budget"]), 0), time.perf_counter() - began)
        if at["kept"] >= at["room"]:
            self._grow()
        return True

    def result(self, seconds: float) -> ForwardResult:
        """What the solve gives."""
        request, at = self._request, self._memory.workers[0]["progress"]
        outcome: NumbaOutcome = outcome_of(at, seconds)
        if not outcome.done:
            equations = of_state(request.field, request.integrator)
            return ForwardResult(located(outcome, equations, self._batch.stop(self._memory)))
        self._memory.layout.give_back(self._memory)
        if not self._keeps:
            return ForwardResult(outcome)
        steps = outcome.accepted
        request.field.shape.memo["steps"] = steps
        nodes = self._all_nodes(steps) if request.every_step else None
        if not request.record:
            return ForwardResult(outcome, nodes=nodes)
        step_of_time = self._step_of_time
        if request.every_step:
            step_of_time = np.concatenate([[-1], np.repeat(np.arange(steps), self._degree)])
        chunks = np.array(self._first_of_chunk, np.int64)
        self._give_up_spare(steps)
        log = Log(self._steps[:steps], chunks, step_of_time, request.every_step, self._batch.lanes)
        return ForwardResult(outcome, log, steps, tuple(self._checkpoints), nodes)

    def _give_up_spare(self, steps: int) -> None:
        """Keeps no memory for many more steps than there were, as after a longer solve of the same field.

        Of several chunks the steps before the last one fill half: there is little to give up.
        """
        spare = len(self._steps) - steps
        step_bytes = self._checkpoint_size * self._batch.itemsize + STEP.itemsize
        if spare > steps and spare * step_bytes > _MOST_SPARE_BYTES:
            self._checkpoints[0] = self._checkpoints[0][: steps * self._checkpoint_size].clone()
            self._steps = self._steps[:steps].copy()

    def _all_nodes(self, steps: int) -> tuple[Tensor, Tensor]:
        """Their times and states, the initial one first."""
        used = steps * self._degree
        times = torch.cat([times for times, _ in self._nodes])[:used]
        states = torch.cat([states for _, states in self._nodes])[:used]
        start = self._request.times[:1]
        return torch.cat([start, times]), torch.cat([self._states.reshape(1, -1), states]).reshape(-1)
