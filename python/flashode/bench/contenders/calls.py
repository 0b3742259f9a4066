"""The call that torchdiffeq and flashode share, so that they do the same work to the letter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.contenders import FORWARD, SEMINORM, Evaluations, Prepared, Unsupported
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.workloads import SEED, State, Workload

Solve = Callable[..., State]
Count = Callable[[nn.Module, Callable[[], object], Callable[[], object]], Evaluations]


def prepare(
    workload: Workload,
    mode: str,
    solve: Solve,
    *,
    settings: Callable[[], AbstractContextManager[object]] = nullcontext,
    count: Count,
    **arguments: Any,
) -> Prepared:
    """A workload prepared for a function that is called like torchdiffeq's `odeint`.

    Args:
        workload: What to solve.
        mode: `FORWARD`, or any other for a gradient.
        solve: The function.
        settings: The context of each run.
        count: Given the field, its solve and its reverse pass, how often each evaluates the field.
        **arguments: Further ones of `solve`.
    """
    if mode == SEMINORM and not workload.adaptive:
        raise Unsupported("given steps have no error norm")
    field, y0, times = workload.make()
    parameters = tuple(field.parameters())

    def solution() -> Tensor:
        states = solve(
            field,
            y0,
            times,
            rtol=workload.rtol,
            atol=workload.atol,
            method=workload.method,
            options=workload.options,
            **arguments,
        )
        return states if isinstance(states, Tensor) else torch.cat(states, -1)

    def reverse(states: Tensor) -> tuple[Tensor, ...]:
        for parameter in parameters:
            parameter.grad = None
        states.abs().mean().backward()  # type: ignore[no-untyped-call]
        return tuple(parameter.grad for parameter in parameters if parameter.grad is not None)

    def run() -> tuple[Tensor, tuple[Tensor, ...]]:
        if workload.random:  # fields that draw numbers draw the same ones for each contender
            torch.manual_seed(SEED)
        with settings(), torch.set_grad_enabled(mode != FORWARD):
            states = solution()
            answer = states.detach(), () if mode == FORWARD else reverse(states)
        if workload.device == "cuda":
            torch.cuda.synchronize()
        return answer

    def counted() -> Evaluations:
        states: list[Tensor] = []
        with settings(), torch.set_grad_enabled(mode != FORWARD):
            return count(
                field,
                lambda: states.append(solution()),
                lambda: None if mode == FORWARD else reverse(states[0]),
            )

    return Prepared(run=run, read=lambda raw: Answer.of_tensors(*raw), count=counted)


def constructed_once(
    make: Callable[[nn.Module, Tensor, float, float, str], Any],
    solve: Callable[[Any, Tensor, Tensor, dict[str, Any]], Tensor],
) -> Solve:
    """A `Solve` by a library's solver object, created at the first call, as a program creates it once.

    Args:
        make: Given field, initial state, relative and absolute tolerance, and method, the object.
        solve: Given the object, initial state, times and options, the states.
    """
    solvers: list[Any] = []

    def call(
        field: nn.Module,
        y0: Tensor,
        times: Tensor,
        *,
        rtol: float,
        atol: float,
        method: str,
        options: dict[str, Any],
    ) -> Tensor:
        if not solvers:
            solvers.append(make(field, y0, rtol, atol, method))
        return solve(solvers[0], y0, times, options)

    return call


def count_calls(field: nn.Module, solve: Callable[[], object], reverse: Callable[[], object]) -> Evaluations:
    """Counts the calls of a field, in the solve and then in its reverse pass."""
    calls = 0

    def counted(module: nn.Module, arguments: object) -> None:
        nonlocal calls
        calls += 1

    handle = field.register_forward_pre_hook(counted)
    try:
        solve()
        forward = calls
        reverse()
    finally:
        handle.remove()
    # Without the field autograd goes back through each operation that it recorded.
    return Evaluations(forward, calls - forward or None)
