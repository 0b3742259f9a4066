"""An event's time as a function of what led to the event."""

from __future__ import annotations

import math
from typing import Any

import torch

from flashode.autograd.graph import once
from flashode.engines.unchanged import Unchanged
from flashode.memory import check_saved, kind_of
from flashode.problem import DEFAULT_ATOL, Problem
from flashode.uncompiled import uncompiled


def differentiable_event(
    problem: Problem, unchanged: Unchanged, t: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """An event's time and the state there, differentiable in that state; see :class:`EventTime`.

    Args:
        problem: What was solved.
        unchanged: Tells whether its functions are what they were.
        t: Solver time of the event, 0-d; a constant so far.
        y: The state there.
    """
    assert problem.event is not None
    # Evaluated now: the initial state may have changed by the time of the backward pass.
    _ = problem.event.signs
    time, state = EventTime.apply(problem, unchanged, t, y)  # type: ignore[no-untyped-call]
    return time, state


class EventTime(torch.autograd.Function):
    """An event's time, a constant so far, as the function that the event makes of what led to it.

    By the implicit function theorem: where the event function is c and the field f, the time changes by
    ``-c_y . dy / (c_t + c_y . f)`` with a change ``dy`` of the state, and the state by f times that more.
    """

    @staticmethod
    def forward(
        ctx: Any, problem: Problem, unchanged: Unchanged, t: torch.Tensor, y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.problem = problem
        ctx.unchanged = unchanged
        ctx.kinds = (kind_of(t), kind_of(y))
        ctx.save_for_backward(t, y)
        ctx.save_for_forward(t, y)
        return t.detach().clone(), y.detach().clone()

    @staticmethod
    @uncompiled
    def backward(ctx: Any, grad_t: torch.Tensor, grad_y: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors
        for tensor, kind in zip(saved, ctx.kinds, strict=True):
            check_saved(tensor, kind)
        ctx.unchanged.require()
        f, c_y, rate = _at_event(ctx.problem, *saved)
        with torch.no_grad():
            through_time = (grad_t + _inner(grad_y, f)) / rate
            gradient = grad_y - through_time.to(c_y.dtype) * c_y
        if torch.is_grad_enabled():
            return None, None, None, *once("the time of an event", (gradient,), (grad_t, grad_y, *saved))
        return None, None, None, gradient

    @staticmethod
    @uncompiled
    def jvp(
        ctx: Any, _: None, __: None, tangent_t: None, tangent_y: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        t, y = ctx.saved_tensors
        f, c_y, rate = _at_event(ctx.problem, t, y)
        later = -_inner(c_y, tangent_y) / rate
        return later.to(t.dtype), tangent_y + later.to(y.dtype) * f


@torch.no_grad()
def _at_event(
    problem: Problem, t: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The field, the event function's derivative in the state, and its rate along the solution."""
    t, y = (x.detach().requires_grad_() for x in (t, y))
    f = problem.field(t.clone(), y.clone())
    with torch.enable_grad():
        outputs = problem.event_outputs(t, y)
        least = outputs.min()
    c_y, rate = _slope(least, t, y, f)
    if len(outputs) > 1 and least > 0:
        # The time is known up to a tolerance, and this is just before: one that jumps is not the least yet.
        jumping = _crossing(problem, t, y, f, float(least / -rate) if rate < 0 else math.inf)
        if jumping is not None:
            with torch.enable_grad():
                first = outputs[jumping]
            c_y, rate = _slope(first, t, y, f)
    # As in torchdiffeq, where it keeps an event at rest (one that is zero at the start) from 0 / 0.
    return f, c_y, rate + 1e-12


def _crossing(
    problem: Problem, t: torch.Tensor, y: torch.Tensor, f: torch.Tensor, within: float
) -> torch.Tensor | None:
    """Which output of the event is zero or less well within that time, along the slope f; None if none is."""
    ahead = DEFAULT_ATOL
    while ahead < min(within / 2, 1):
        outputs = problem.event_outputs(t + ahead, y + ahead * f)
        if outputs.min() <= 0:
            return outputs.argmin()
        ahead *= 8
    return None


def _slope(
    value: torch.Tensor, t: torch.Tensor, y: torch.Tensor, f: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """An output's derivative in the state, and its rate along the solution."""
    if not value.requires_grad:  # a condition, or anything else that autograd does not see: a constant
        return torch.zeros_like(y), torch.zeros_like(t)
    c_t, c_y = torch.autograd.grad(
        value, (t, y), allow_unused=True, materialize_grads=True, retain_graph=True
    )
    return c_y, c_t + _inner(c_y, f)


def _inner(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The real inner product, 0-d."""
    products = a.conj() * b
    return (products.real if products.is_complex() else products).sum()
