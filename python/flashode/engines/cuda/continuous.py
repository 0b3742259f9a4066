"""Runs the adjoint equations backwards."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.outcome import Outcome
from flashode.engines.compiled.requests import ContinuousRequest
from flashode.engines.cuda.discrete import hand_over
from flashode.engines.cuda.launch import Launcher, Prepared, Slots
from flashode.engines.cuda.locate import located
from flashode.engines.cuda.quadrature import quadrature_of
from flashode.engines.cuda.times import DeviceTimes, prescribed
from flashode.engines.generated.locate import of_adjoint
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
        addresses = torch.tensor(self._times.parts[3:], dtype=torch.int64, device="cpu")
        self._grids = addresses.to(device, non_blocking=True)
        self._sums = quadrature_of(request)
        self._stages: Tensor | None = None
        self._accumulators: Tensor | None = None
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
            segments=(address(self._sums.segments), len(self._sums.segments)),
            starts=address(self._sums.starts),
            sources=address(self._sums.sources),
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
