"""Runs a forward solve: memory, launches, and what there is to do when one pauses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import EvaluatedField, ForwardRequest
from flashode.engines.cuda.launch import Launcher, Prepared, Slots, most_blocks, stand_of
from flashode.engines.cuda.locate import located
from flashode.engines.cuda.times import DeviceTimes, prescribed
from flashode.engines.generated.locate import of_state
from flashode.memory import address
from flashode.methods import Tableau
from flashode.problem import FixedOptions
from flashode.program import Y

# Steps that the first chunk of memory is for, where no solve before says how many there are, and how many
# bytes it may take; and else for how many of the solve before there is a spare one: a few more are no reason
# to pause and to take as much memory again.
_FIRST_STEPS = 64
_FIRST_BYTES = 64 * 2**20
_STEPS_BY_SPARE = 8


@dataclass
class Steps:
    """Memory for what a solve keeps, chunk by chunk; each but the first is for as many steps as all before.

    Attributes:
        first: How many steps the first chunk is for.
        checkpoint_size: Numbers of a checkpoint.
        with_checkpoints: Whether a reverse may follow.
        nodes: How many nodes a step has; 0 for none.
        like: A state.
        steps: Of each chunk, its steps.
        checkpoints: Of each, their checkpoints.
        node_times: Of each, the times of their nodes.
        node_states: Of each, their nodes.
    """

    first: int
    checkpoint_size: int
    with_checkpoints: bool
    nodes: int
    like: Tensor
    steps: list[Tensor] = field(default_factory=list)
    checkpoints: list[Tensor] = field(default_factory=list)
    node_times: list[Tensor] = field(default_factory=list)
    node_states: list[Tensor] = field(default_factory=list)

    def grow(self) -> None:
        """Adds a chunk."""
        if len(self.steps) == _flashode.cuda.MAX_CHUNKS:
            raise RuntimeError("a solve of so many steps cannot be kept")
        count = self.first * 2 ** len(self.steps)
        device = self.like.device
        size = count * _flashode.cuda.STEP_BYTES
        self.steps.append(torch.empty(size, dtype=torch.uint8, device=device))
        if self.with_checkpoints:
            self.checkpoints.append(self.like.new_empty(count * self.checkpoint_size))
        if self.nodes:
            nodes = count * self.nodes
            self.node_times.append(torch.empty(nodes, dtype=torch.float64, device=device))
            self.node_states.append(self.like.new_empty(nodes, self.like.numel()))

    def addresses(self) -> list[tuple[int, int, int, int]]:
        """Of the chunks, as the kernels take them."""
        return [
            (
                address(self.steps[i]),
                address(self.checkpoints[i]) if self.with_checkpoints else 0,
                address(self.node_times[i]) if self.nodes else 0,
                address(self.node_states[i]) if self.nodes else 0,
            )
            for i in range(len(self.steps))
        ]


@dataclass(frozen=True)
class Log:
    """What the reverse needs beside the checkpoints.

    Attributes:
        steps: How many there were.
        first: How many the first chunk is for.
        chunks: The steps.
        step_of_time: Which of them each output lies in; -1 for those at the start.
        lanes: Trajectories of the tiles that the checkpoints are made of.
        nodes: Whether the outputs are nodes of the steps, not at given times.
    """

    steps: int
    first: int
    chunks: tuple[Tensor, ...]
    step_of_time: Tensor
    lanes: int
    nodes: bool

    @staticmethod
    def planned(lanes: int) -> Log:
        """Of a solve that is yet to be."""
        return Log(0, 0, (), torch.empty(0, dtype=torch.int64, device="cpu"), lanes, False)


def solve(launcher: Launcher, prepared: Prepared, request: ForwardRequest) -> ForwardResult:
    """Solves; see ``Backend.forward``."""
    began = time.perf_counter()
    run = _Run(launcher, prepared, request)
    while True:
        stand = run.launch()
        if not stand.paused:
            break
        run.resume(stand)
    return run.result(stand, time.perf_counter() - began)


class _Run:
    """One solve."""

    def __init__(self, launcher: Launcher, prepared: Prepared, request: ForwardRequest) -> None:
        self._launcher = launcher
        self._prepared = prepared
        self._request = request
        y0, shape = request.y0, request.field.shape
        tableau = request.integrator.method
        assert isinstance(tableau, Tableau)
        lanes = prepared.mapping.lanes
        self._tiles = -(-shape.batch // lanes)
        width = sum(shape.segments)
        self._total = self._tiles * width * lanes
        self._rows = y0.new_empty(5, self._tiles, width, lanes)
        self._stages: Tensor | None = None
        self._times = DeviceTimes((request.times, request.grid, *prescribed(request.integrator)), y0.device)
        self._stand = _flashode.cuda.Stand()
        self._attempts = 0
        self._tiles_of_block = 1
        self._left = launcher.pinned(_flashode.cuda.STAND_BYTES, y0.device)
        interpolant = request.integrator.interpolant
        degree = 0 if interpolant is None else len(interpolant.fractions)
        with_slope = tableau.carried and not tableau.fsal
        size = self._total * (2 if with_slope else 1)
        self._steps: Steps | None = None
        if request.record or request.every_step:
            nodes = degree if request.every_step else 0
            numbers = (size if request.record else 0) + nodes * y0.numel()
            first = self._first_steps(numbers * y0.itemsize)
            self._steps = Steps(first, size, request.record, nodes, y0)
            self._steps.grow()
        self._states = y0.new_empty(1, *y0.shape) if request.every_step else request.states
        self._event: tuple[Tensor, Tensor] | None = None
        if isinstance(request.event, EvaluatedField):
            signs = y0.new_empty(request.event.program.widths[Y])
            self._event = y0.new_empty(y0.numel()), signs
        self._step_of_time: Tensor | None = None
        if request.record and not request.every_step:
            outputs = request.times.numel() if request.event is None else 2
            self._step_of_time = torch.full((outputs,), -1, dtype=torch.int64, device=y0.device)

    def _first_steps(self, step_bytes: int) -> int:
        request = self._request
        on_grid = request.integrator.method.control == "fixed"
        if on_grid and request.event is None and request.grid.numel() > 1:
            return request.grid.numel() - 1
        known: int | None = request.field.shape.memo.get("steps")
        if known is None:
            return max(1, min(_FIRST_STEPS, _FIRST_BYTES // max(step_bytes, 1)))
        return known + known // _STEPS_BY_SPARE + 1

    def launch(self) -> Any:
        """Goes on until the solve ends or pauses."""
        launcher, prepared, device = self._launcher, self._prepared, self._request.y0.device
        began = time.perf_counter()
        most = most_blocks(self._request, self._tiles)
        launcher.run(prepared, most, prepared.shared_bytes, device, self._arguments)
        stand = stand_of(self._left)
        outcome = stand.outcome(seconds=0.0)
        before, self._attempts = self._attempts, outcome.accepted + outcome.rejected
        steps = (self._attempts - before) * self._tiles_of_block
        prepared.adapt(time.perf_counter() - began, steps, used_up=stand.paused and not stand.full)
        return stand

    def _stages_size(self) -> int:
        """Numbers of a tile's stages."""
        tableau = self._request.integrator.method
        assert isinstance(tableau, Tableau)
        return tableau.stages * self._total // self._tiles

    def _arguments(self, blocks: int, slots: Slots) -> bytes:
        request, launcher, steps = self._request, self._launcher, self._steps
        shape = request.field.shape
        self._tiles_of_block = -(-self._tiles // blocks)
        if not self._prepared.mapping.stages_in_shared:
            self._stages = request.y0.new_empty(blocks * self._stages_size())
        times, grid, step_t, jump_t = self._times.parts
        options = request.integrator.options
        step_size, parameters = 0.0, request.field.parameters
        if isinstance(request.event, EvaluatedField):
            parameters += request.event.parameters
            if isinstance(options, FixedOptions):
                step_size = options.step_size or 0.0
        bound: bytes = _flashode.cuda.forward_arguments(
            precision=str(request.y0.dtype).removeprefix("torch."),
            method=launcher.method(request.field, request.integrator),
            batch=shape.batch,
            direction=shape.direction,
            y0=address(request.y0),
            c=address(request.field.c),
            times=times,
            grid=grid,
            step_t=step_t,
            jump_t=jump_t,
            states=address(self._states),
            rtol=address(request.rtol),
            atol=address(request.atol),
            rows=address(self._rows),
            stages=address(self._stages),
            slots=address(slots.memory),
            round=slots.round,
            budget=launcher.budget(self._prepared, self._tiles_of_block),
            step_of_time=address(self._step_of_time),
            chunks=[] if steps is None else steps.addresses(),
            first_steps=0 if steps is None else steps.first,
            checkpoint_size=0 if steps is None else steps.checkpoint_size,
            state_size=request.y0.numel(),
            stand=self._stand,
            left=address(self._left),
            event=self._event_numbers(),
            step_size=step_size,
            parameters=list(map(address, parameters)),
        )
        return bound

    def _event_numbers(self) -> tuple[int, int, int, float, float] | None:
        """The event's state and signs, the size of its state, its direction and its tolerance."""
        request = self._request
        if self._event is None:
            return None
        assert isinstance(request.event, EvaluatedField)
        state, signs = self._event
        atol = request.integrator.atol if request.atol is None else float(request.atol.min())
        return address(state), address(signs), state.numel(), request.event.shape.direction, atol

    def resume(self, stand: Any) -> None:
        """Makes ready for the next launch."""
        if stand.full:
            assert self._steps is not None
            self._steps.grow()
        self._stand = stand

    def result(self, stand: Any, seconds: float) -> ForwardResult:
        """What the solve gives."""
        request, steps = self._request, self._steps
        outcome: Outcome = stand.outcome(seconds=seconds)
        if not outcome.done:
            equations = of_state(request.field, request.integrator)
            return ForwardResult(located(equations, stand, self._rows, outcome))
        if steps is None:
            return ForwardResult(outcome)
        request.field.shape.memo["steps"] = outcome.accepted
        nodes = self._nodes(steps, outcome.accepted) if request.every_step else None
        if not request.record:
            return ForwardResult(outcome, nodes=nodes)
        step_of_time = self._step_of_time
        if step_of_time is None:
            of_steps = torch.arange(outcome.accepted, device=request.y0.device)
            start = torch.full((1,), -1, device=request.y0.device)
            step_of_time = torch.cat([start, of_steps.repeat_interleave(steps.nodes)])
        log = Log(
            outcome.accepted,
            steps.first,
            tuple(steps.steps),
            step_of_time,
            self._prepared.mapping.lanes,
            request.every_step,
        )
        return ForwardResult(outcome, log, outcome.accepted, tuple(steps.checkpoints), nodes)

    def _nodes(self, steps: Steps, count: int) -> tuple[Tensor, Tensor]:
        """Their times and states, the initial one first."""
        used = count * steps.nodes
        times = torch.cat(steps.node_times)[:used].cpu()
        states = torch.cat(steps.node_states)[:used]
        start = self._request.times[:1]
        return torch.cat([start, times]), torch.cat([self._states.reshape(1, -1), states]).reshape(-1)
