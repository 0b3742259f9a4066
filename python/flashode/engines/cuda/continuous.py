"""Runs the adjoint equations backwards."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.outcome import Outcome
from flashode.engines.compiled.requests import ContinuousRequest
from flashode.engines.cuda.discrete import hand_over
from flashode.engines.cuda.launch import Launcher, Prepared, Slots
from flashode.engines.cuda.locate import located, of_adjoint
from flashode.engines.cuda.times import DeviceTimes, prescribed
from flashode.memory import address
from flashode.methods import Tableau


def integrate(launcher: Launcher, prepared: Prepared, request: ContinuousRequest) -> Outcome:
    """Integrates; see ``Backend.continuous_vjp``."""
    began = time.perf_counter()
    run = _Run(launcher, prepared, request)
    while (stand := run.launch()).paused:
        pass
    return run.result(stand, time.perf_counter() - began)


class _Run:
    """One integration."""

    def __init__(self, launcher: Launcher, prepared: Prepared, request: ContinuousRequest) -> None:
        self._launcher, self._prepared, self._request = launcher, prepared, request
        like, device = request.grad_states, request.grad_states.device
        tableau = request.integrator.method
        assert isinstance(tableau, Tableau)
        field, lanes = request.field, prepared.mapping.lanes
        width = sum(field.shape.segments)
        context = 0 if field.c is None else field.c.shape[1]
        self._device = device
        self._tiles = -(-field.shape.batch // lanes)
        rows = 2 * width + context
        self._size = 1 + prepared.text.accumulated
        self._stage_count = tableau.stages
        # The probe of the first step needs two.
        self._sets = max(tableau.stages, 2)
        self._rows = like.new_empty(5, self._tiles, rows, lanes)
        self._adjoint = like.new_zeros(self._tiles, rows, lanes)
        self._gradients = like.new_zeros(self._size)
        self._quadrature = like.new_empty(3 + self._sets, self._size)
        self._grad_times = None if request.grad_times is None else request.grad_times.to(device)
        grids = [torch.tensor(grid, dtype=torch.float64, device="cpu") for grid in request.grids]
        self._times = DeviceTimes((request.times, *prescribed(request.integrator), *grids), device)
        self._grids = self._numbers(self._times.parts[3:])
        self._segments = self._numbers(self._measured())
        self._stages: Tensor | None = None
        self._accumulators: Tensor | None = None
        self._starts: Tensor | None = None
        self._sources: Tensor | None = None
        if request.transposes:
            self._starts, self._sources = self._joined()
        self._stand = _flashode.cuda.AdjointStand()
        self._tiles_of_block = 1
        self._attempts = self._budget = 0
        self._left = launcher.pinned(_flashode.cuda.ADJOINT_STAND_BYTES, device)

    def launch(self) -> Any:
        """Goes on until all is integrated, or the launch pauses."""
        launcher, prepared = self._launcher, self._prepared
        began = time.perf_counter()
        launcher.run(prepared, self._tiles, prepared.shared_bytes, self._device, self._arguments)
        self._stand = _flashode.cuda.AdjointStand.at(address=address(self._left))
        paused, outcome = self._stand.paused, self._stand.outcome(seconds=0.0)
        # Until the end the outcome lacks attempts of the interval at hand.
        attempts = self._budget if paused else outcome.accepted + outcome.rejected - self._attempts
        self._attempts += attempts
        prepared.adapt(time.perf_counter() - began, attempts * self._tiles_of_block, used_up=paused)
        return self._stand

    def _arguments(self, blocks: int, slots: Slots) -> bytes:
        request, launcher = self._request, self._launcher
        field, like = request.field, request.grad_states
        self._tiles_of_block = -(-self._tiles // blocks)
        self._budget = launcher.budget(self._prepared, self._tiles_of_block)
        # Each launch has its own, for so many blocks.
        self._stages = like.new_empty(blocks, self._stage_count, *self._rows.shape[2:])
        self._accumulators = like.new_empty(blocks, self._sets, self._size)
        times, step_t, jump_t, *_ = self._times.parts
        bound: bytes = _flashode.cuda.continuous_arguments(
            precision=str(request.grad_states.dtype).removeprefix("torch."),
            method=launcher.method(field, request.integrator),
            batch=field.shape.batch,
            direction=field.shape.direction,
            c=address(field.c),
            times=times,
            grids=address(self._grids),
            step_t=step_t,
            jump_t=jump_t,
            states=address(request.states),
            grad_states=address(request.grad_states),
            grad_y0=address(request.grad_y0),
            grad_c=address(request.grad_c),
            grad_times=address(self._grad_times),
            rows=address(self._rows),
            stages=address(self._stages),
            slots=address(slots.memory),
            round=slots.round,
            budget=self._budget,
            adjoint=address(self._adjoint),
            gradients=address(self._gradients),
            quadrature=address(self._quadrature),
            accumulators=address(self._accumulators),
            sets=self._sets,
            segments=(address(self._segments), len(self._segments)),
            starts=address(self._starts),
            sources=address(self._sources),
            stand=self._stand,
            left=address(self._left),
            parameters=list(map(address, field.parameters)),
        )
        return bound

    def result(self, stand: Any, seconds: float) -> Outcome:
        """What the integration gives; writes the gradients that are not a trajectory's."""
        request = self._request
        outcome: Outcome = stand.outcome(seconds=seconds)
        if not outcome.done:
            return located(of_adjoint(request), stand, self._rows, outcome)
        hand_over(self._gradients[1:], request.grad_parameters)
        if request.grad_times is not None and self._grad_times is not None:
            request.grad_times.copy_(self._grad_times)
        return outcome

    def _ranges(self) -> dict[int, tuple[int, int]]:
        """Where the gradient in each parameter is, if it is wanted."""
        field = self._request.field
        sizes = [
            math.prod(shape) if wanted else 0
            for shape, wanted in zip(field.program.parameter_shapes, field.wanted, strict=True)
        ]
        ends = list(accumulate(sizes, initial=1))
        return {p: (ends[p], ends[p + 1]) for p, wanted in enumerate(field.wanted) if wanted}

    def _joins(self) -> list[tuple[int, int, int, int]]:
        """The transposes whose gradients are added to those of what they transpose."""
        ranges = self._ranges()
        return [join for join in self._request.transposes if join[0] in ranges and join[1] in ranges]

    def _measured(self) -> list[tuple[int, int]]:
        """Parameters count in the error norm, each by itself, unless it is the seminorm; dL/dt always does. A
        transpose counts with the parameter that it transposes.
        """
        joined = {p for p, *_ in self._joins()}
        parameters = [span for p, span in self._ranges().items() if p not in joined]
        return [(0, 1), *([] if self._request.seminorm else parameters)]

    def _joined(self) -> tuple[Tensor, Tensor]:
        """Of each number, which of the accumulators' it is the sum of."""
        ranges = self._ranges()
        joins = [(ranges[p][0], ranges[of][0], rows, columns) for p, of, rows, columns in self._joins()]
        starts, sources = joined(self._size, joins)
        return starts.to(self._device), sources.to(self._device)

    def _numbers(self, values: Sequence[int] | Sequence[tuple[int, int]]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device=self._device)


def joined(size: int, joins: Sequence[tuple[int, int, int, int]]) -> tuple[Tensor, Tensor]:
    """Of each of so many numbers, which it is the sum of: itself first, then what joins it.

    Args:
        size: How many there are.
        joins: Transposes, each as its first number, that of what it transposes, and the shape of this.

    Returns:
        Where those of each number start and the last ones end, and all of them.
    """
    numbers = torch.arange(size, device="cpu")
    to = numbers
    for begin, of, rows, columns in joins:
        moved = numbers.clone()
        own = torch.arange(of, of + rows * columns, device="cpu").view(rows, columns)
        moved[begin : begin + rows * columns] = own.t().flatten()
        to = moved[to]
    sources = (2 * to + (to != numbers)).argsort(stable=True)
    counts = torch.bincount(to, minlength=size)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), sources
