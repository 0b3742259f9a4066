"""The compiled module as a backend: addresses are taken here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from flashode import _flashode
from flashode.declined import Declined
from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.method import translate
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import (
    ContinuousRequest,
    DiscreteRequest,
    EvaluatedField,
    ForwardRequest,
    Request,
)
from flashode.engines.compiled.scope import Demand
from flashode.engines.compiled.threads import useful_threads
from flashode.engines.native import program
from flashode.engines.native.scope import features_in_lanes, refusal, slower_than_torch
from flashode.engines.protocol import PlannedKernel
from flashode.memory import address
from flashode.problem import FixedOptions, Integrator

# Most objects of the compiled module remembered for one Setup: a training step takes two fields, and the same
# ones as before where its tensors have the same memory.
_MOST_REMEMBERED = 8


class NativeBackend:
    """Tiles of trajectories on the CPU.

    Args:
        features_in_lanes: Whether features, not trajectories, fill the vectors' lanes, for measurements of
            both; None lets the batch and the methods decide.
    """

    name = "native"
    device = "cpu"
    calls_functions = True

    def __init__(self, *, features_in_lanes: bool | None = None) -> None:
        self._features_in_lanes = features_in_lanes

    def accepts(self, work: Work) -> Declined | None:
        """Why the module would refuse it."""
        reason = refusal(work, _flashode.MAX_ROWS, _flashode.MAX_PARAMETER_ELEMENTS)
        return None if reason is None else Declined(reason)

    def pays(self, work: Work, demand: Demand) -> Declined | None:
        """Why plain torch is faster."""
        reason = slower_than_torch(work, demand)
        return None if reason is None else Declined(reason, expected=True)

    def kernels(self, requests: Sequence[Request]) -> tuple[PlannedKernel, ...]:
        """None: they were compiled with the module."""
        return ()

    def forward(self, request: ForwardRequest) -> ForwardResult:
        """Solve."""
        y0, grid, event, norm = request.y0, request.grid, request.event, request.norm
        asked: dict[str, Any] = {}
        if request.rtol is not None:
            asked["rtol"] = address(request.rtol)
        if request.atol is not None:
            asked["atol"] = address(request.atol)
        if norm is not None:
            asked["norm"] = norm.function, address(norm.state)
        if isinstance(event, EvaluatedField):
            asked["event"] = _flashode.Event(field=self._field(event, y0.dtype))
        elif event is not None:
            asked["event"] = event.function, address(event.state)
        options = request.integrator.options
        if event is not None and isinstance(options, FixedOptions):
            asked["step_size"] = options.step_size
        checkpoints: list[Tensor] = []

        def storage(size: int) -> int:
            checkpoints.append(y0.new_empty(size))
            return checkpoints[-1].data_ptr()

        outcome, log, times, states = _flashode.forward(
            field=self._field(request.field, y0.dtype),
            method=self._method(request.field, request.integrator),
            y0=address(y0),
            c=address(request.field.c),
            times=address(request.times),
            time_count=request.times.numel(),
            grid=address(grid),
            grid_count=grid.numel(),
            states=request.states.data_ptr(),
            storage=storage if request.record else None,
            every_step=request.every_step,
            **asked,
        )
        nodes = (torch.from_numpy(times), torch.from_numpy(states)) if request.every_step else None
        steps = 0 if log is None else log.steps
        return ForwardResult(outcome, log, steps, tuple(checkpoints), nodes)

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        """Reverse a recorded solve."""
        _flashode.discrete_vjp(
            field=self._field(request.field, request.grad_states.dtype),
            method=self._method(request.field, request.integrator),
            log=request.log,
            checkpoints=list(map(address, request.checkpoints)),
            c=address(request.field.c),
            times=address(request.times),
            time_count=request.times.numel(),
            grad_states=address(request.grad_states),
            grad_y0=address(request.grad_y0),
            grad_c=address(request.grad_c),
            grad_times=address(request.grad_times),
            grad_grid=address(request.grad_grid),
            grad_parameters=list(map(address, request.grad_parameters)),
        )

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        """Integrate the adjoint equations backwards."""
        return _flashode.continuous_vjp(
            field=self._field(request.field, request.grad_states.dtype),
            method=self._method(request.field, request.integrator),
            seminorm=request.seminorm,
            times=address(request.times),
            time_count=request.times.numel(),
            grids=request.grids,
            c=address(request.field.c),
            states=address(request.states),
            grad_states=address(request.grad_states),
            grad_y0=address(request.grad_y0),
            grad_c=address(request.grad_c),
            grad_times=address(request.grad_times),
            grad_parameters=list(map(address, request.grad_parameters)),
            measured_c=request.measured_c,
            transposes=request.transposes,
        )

    def evaluate(
        self, field: EvaluatedField, y: Tensor, t: float, steps: int, stages: int
    ) -> _flashode.Outcome:
        """Evaluate a field alone, at one time and state, as often as so many steps of so many stages do."""
        return _flashode.evaluate(
            field=self._field(field, y.dtype),
            y=address(y),
            c=address(field.c),
            t=t,
            steps=steps,
            stages=stages,
        )

    def _field(self, field: EvaluatedField, dtype: torch.dtype) -> _flashode.Field:
        """The field as an object of the compiled module, remembered by the addresses of its parameters."""
        shape, memo = field.shape, field.shape.memo
        threads = min(useful_threads(shape.cost * shape.batch), _flashode.MAX_THREADS)
        key = tuple(map(address, field.parameters)), field.wanted, threads
        bound: _flashode.Field | None = memo.get(key)
        if bound is None:
            if len(memo) >= _MOST_REMEMBERED:
                memo.clear()
            bound = memo[key] = _flashode.Field(
                program=self._program(field),
                parameters=key[0],
                wants_gradient=field.wanted or (False,) * len(field.parameters),
                segments=shape.segments,
                batch=shape.batch,
                direction=shape.direction,
                precision=str(dtype).removeprefix("torch."),
                threads=threads,
                features_in_lanes=(
                    features_in_lanes(shape.batch, shape.methods)
                    if self._features_in_lanes is None
                    else self._features_in_lanes
                ),
            )
        return bound

    def _program(self, field: EvaluatedField) -> _flashode.Program:
        memo = field.shape.program_memo
        compiled: _flashode.Program | None = memo.get("program")
        if compiled is None:
            compiled = memo["program"] = program.translate(field.program, _flashode)
        return compiled

    def _method(self, field: EvaluatedField, integrator: Integrator) -> _flashode.Method:
        memo = field.shape.memo
        method: _flashode.Method | None = memo.get(integrator)
        if method is None:
            method = memo[integrator] = translate(integrator, _flashode.Method)
        return method
