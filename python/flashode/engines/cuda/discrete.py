"""Runs the exact reverse of a recorded solve."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.requests import DiscreteRequest
from flashode.engines.cuda.forward import Log
from flashode.engines.cuda.launch import Launcher, Prepared, Slots
from flashode.engines.cuda.times import DeviceTimes
from flashode.memory import address
from flashode.methods import Tableau


def reverse(launcher: Launcher, prepared: Prepared, request: DiscreteRequest) -> None:
    """Reverses; see ``Backend.discrete_vjp``."""
    run = _Run(launcher, prepared, request)
    while run.left > 0:
        run.launch()
    run.hand_over()


class _Run:
    """One reverse pass.

    Attributes:
        left: Steps that each block has yet to go back, in all of its tiles.
    """

    def __init__(self, launcher: Launcher, prepared: Prepared, request: DiscreteRequest) -> None:
        self._launcher, self._prepared, self._request = launcher, prepared, request
        log, states = request.log, request.grad_states
        assert isinstance(log, Log) and log.lanes == prepared.mapping.lanes
        tableau = request.integrator.method
        assert isinstance(tableau, Tableau)
        shape, device = request.field.shape, states.device
        self._log, self._device = log, device
        self._tiles = -(-shape.batch // log.lanes)
        self._width = sum(shape.segments)
        self._blocks = launcher.blocks(prepared, self._tiles, prepared.shared_bytes, device)
        self._total = -(-self._tiles // self._blocks) * max(log.steps, 1)
        self._done = self._until = 0
        rows = _flashode.cuda.REVERSE_ROWS + 2 * tableau.stages
        context = 0 if request.field.c is None else request.field.c.shape[1]
        size = (rows * self._width + context) * log.lanes
        self._scratch = states.new_empty(self._blocks * size)
        accumulated = prepared.text.accumulated
        in_shared = prepared.mapping.accumulators_in_shared
        self._accumulators = states.new_empty(0 if in_shared else self._blocks * accumulated)
        zeros = states.new_zeros
        self._sums = zeros(self._blocks, accumulated, dtype=torch.float64)
        self._time_sums: Tensor | None = None
        self._grid_sums: Tensor | None = None
        if request.grad_times is not None and request.grad_grid is not None:
            self._time_sums = zeros(self._blocks, request.grad_times.numel(), dtype=torch.float64)
            self._grid_sums = zeros(self._blocks, request.grad_grid.numel(), dtype=torch.float64)
        self._times = DeviceTimes((request.times,), device)
        self._steps = torch.cat(log.chunks) if len(log.chunks) > 1 else log.chunks[0]
        with_slope = tableau.carried and not tableau.fsal
        self._checkpoint_size = self._tiles * self._width * log.lanes * (2 if with_slope else 1)

    @property
    def left(self) -> int:
        """As said above."""
        return self._total - self._done

    def launch(self) -> None:
        """Goes on."""
        launcher, prepared = self._launcher, self._prepared
        self._until = self._pause(self._done + launcher.budget(prepared))
        began = time.perf_counter()
        launcher.run(prepared, self._blocks, prepared.shared_bytes, self._device, self._arguments)
        steps = min(self._until, self._total) - self._done
        prepared.adapt(time.perf_counter() - began, steps, used_up=self._until <= self._total)
        self._done = self._until

    def _pause(self, wanted: int) -> int:
        """The first place from there on where sums are folded anyway: a pause changes no bits."""
        steps, between = max(self._log.steps, 1), _flashode.cuda.STEPS_BETWEEN_FOLDS
        done = wanted % steps
        return wanted + (steps - done) % between if done else wanted

    def _arguments(self, blocks: int, slots: Slots) -> bytes:
        request, launcher, log = self._request, self._launcher, self._log
        field = request.field
        grid_sums = self._grid_sums
        bound: bytes = _flashode.cuda.discrete_arguments(
            precision=str(request.grad_states.dtype).removeprefix("torch."),
            method=launcher.method(field, request.integrator),
            batch=field.shape.batch,
            direction=field.shape.direction,
            c=address(field.c),
            times=self._times.parts[0],
            grad_states=address(request.grad_states),
            grad_y0=address(request.grad_y0),
            grad_c=address(request.grad_c),
            steps=address(self._steps),
            step_count=log.steps,
            step_of_time=address(log.step_of_time),
            nodes=log.nodes,
            chunks=[(0, address(chunk), 0, 0) for chunk in request.checkpoints],
            first_steps=log.first,
            checkpoint_size=self._checkpoint_size,
            scratch=address(self._scratch),
            accumulators=address(self._accumulators),
            sums=address(self._sums),
            time_sums=address(self._time_sums),
            grid_sums=(address(grid_sums), 0 if grid_sums is None else grid_sums.shape[1]),
            done=self._done,
            budget=self._until - self._done,
            parameters=list(map(address, field.parameters)),
        )
        return bound

    def hand_over(self) -> None:
        """Writes what blocks have added up."""
        request = self._request
        hand_over(self._sums.sum(0), request.grad_parameters)
        for to, sums in ((request.grad_times, self._time_sums), (request.grad_grid, self._grid_sums)):
            if to is not None and sums is not None:
                to += sums.sum(0).to(to.device)


def hand_over(sums: Tensor, gradients: Sequence[Tensor | None]) -> None:
    """Writes sums, one after the other, to the gradients that are wanted."""
    begin = 0
    for gradient in gradients:
        if gradient is not None:
            part = sums[begin : begin + gradient.numel()]
            gradient.copy_(part.view_as(gradient))
            begin += gradient.numel()
