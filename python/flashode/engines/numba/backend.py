"""The Numba engine as a backend."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch

from flashode.declined import Declined
from flashode.engines.compiled.backend import Work
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
from flashode.engines.numba import continuous, discrete, forward
from flashode.engines.numba.batch import Batch
from flashode.engines.numba.budget import Budget
from flashode.engines.numba.fields.field_code import FieldCode, Function, field_code, vjp_code
from flashode.engines.numba.method import method_record
from flashode.engines.numba.planned import NumbaKernel
from flashode.engines.numba.scope import refusal, slower_than_torch
from flashode.methods import Tableau
from flashode.program import C, T

Value = TypeVar("Value")


class NumbaBackend:
    """Tiles of trajectories on the CPU, in code that Numba compiles.

    Args:
        attempts: Attempts until a solve pauses, for tests; None lets the time that they take decide.
        threads: How many workers a solve has, if there are as many; None lets its work decide.
    """

    name = "numba"
    device = "cpu"
    calls_functions = False

    def __init__(self, *, attempts: int | None = None, threads: int | None = None) -> None:
        self._attempts = attempts
        self._threads = threads

    def accepts(self, work: Work) -> Declined | None:
        """What it does not do."""
        reason = refusal(work)
        return None if reason is None else Declined(reason)

    def pays(self, work: Work, demand: Demand) -> Declined | None:
        """Why plain torch is faster."""
        reason = slower_than_torch(work, demand)
        return None if reason is None else Declined(reason, expected=True)

    def kernels(self, requests: Sequence[Request]) -> tuple[NumbaKernel, ...]:
        """One for each request."""
        return tuple(self._kernel(request) for request in requests)

    def _kernel(self, request: Request) -> NumbaKernel:
        field = request.field
        workers = self._workers(field)
        if isinstance(request, ForwardRequest):
            dtype = request.y0.dtype
            codes = [self._code(field, dtype)]
            if isinstance(request.event, EvaluatedField):
                codes.append(self._code(request.event, dtype))
            functions = [function for code in codes for function in code.called]
            return NumbaKernel("forward", functions, self._batch(request, dtype), dtype, workers)
        dtype = request.grad_states.dtype
        if isinstance(request, DiscreteRequest):
            vjp = self._vjp(field, dtype, with_time=request.grad_times is not None)
            return NumbaKernel("discrete_vjp", [vjp], self._batch(request, dtype), dtype, workers)
        vjp = self._vjp(field, dtype, with_time=True)
        return NumbaKernel("continuous_vjp", [vjp], self._adjoint_batch(request), dtype, workers)

    def forward(self, request: ForwardRequest) -> ForwardResult:
        """Solve."""
        field, dtype = request.field, request.y0.dtype
        event = request.event
        of_event = self._code(event, dtype) if isinstance(event, EvaluatedField) else None
        batch = self._batch(request, dtype)
        return forward.solve(request, batch, of_event, self._workers(field), self._budget(request))

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        """Reverse a recorded solve."""
        field, dtype = request.field, request.grad_states.dtype
        vjp = self._vjp(field, dtype, with_time=request.grad_times is not None)
        discrete.reverse(
            request, self._batch(request, dtype), vjp, self._workers(field), self._budget(request)
        )

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        """Integrate the adjoint equations backwards."""
        field = request.field
        return continuous.integrate(
            request, self._adjoint_batch(request), self._workers(field), self._budget(request)
        )

    def _adjoint_batch(self, request: ContinuousRequest) -> Batch:
        field, dtype = request.field, request.grad_states.dtype
        measured = () if request.seminorm else tuple(request.measured_c)
        return _remembered(
            field.shape.memo,
            ("adjoint", request.integrator, dtype, field.wanted, measured),
            lambda: Batch(
                field,
                method_record(request.integrator),
                dtype,
                self._code(field, dtype),
                self._vjp(field, dtype, with_time=True),
                measured,
            ),
        )

    def _batch(self, request: ForwardRequest | DiscreteRequest, dtype: torch.dtype) -> Batch:
        field, integrator = request.field, request.integrator
        return _remembered(
            field.shape.memo,
            ("batch", integrator, dtype),
            lambda: Batch(field, method_record(integrator), dtype, self._code(field, dtype)),
        )

    def _code(self, field: EvaluatedField, dtype: torch.dtype) -> FieldCode:
        return _remembered(
            field.shape.program_memo, ("field", dtype), lambda: field_code(field.program, dtype)
        )

    def _vjp(self, field: EvaluatedField, dtype: torch.dtype, *, with_time: bool) -> Function:
        sources = (T, C) if with_time else (C,)
        return _remembered(
            field.shape.program_memo,
            ("vjp", dtype, field.wanted, with_time),
            lambda: vjp_code(field.program, dtype, sources, _wanted(field)),
        )

    def _workers(self, field: EvaluatedField) -> int:
        if self._threads is not None:
            return self._threads
        return useful_threads(field.shape.cost * field.shape.batch)

    def _budget(self, request: Request) -> Budget:
        """One for solves, and one for each kind of reverse: their attempts are not the same work."""
        shape, method = request.field.shape, request.integrator.method
        assert isinstance(method, Tableau)
        operations = shape.cost * shape.batch * method.stages
        if self._attempts is not None:
            return Budget(operations, self._attempts)
        return _remembered(shape.memo, ("budget", type(request)), lambda: Budget(operations))


def _remembered(memo: dict[Any, Any], key: Hashable, make: Callable[[], Value]) -> Value:
    """What a memo has under a key, made where it is not there yet."""
    value: Value | None = memo.get(key)
    if value is None:
        value = memo[key] = make()
    return value


def _wanted(field: EvaluatedField) -> list[int]:
    return [p for p, want in enumerate(field.wanted) if want]
