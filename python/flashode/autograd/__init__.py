"""The autograd functions that tie a solve into a graph: one for each gradient mode."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from flashode.engines.eager import EagerPlan
from flashode.engines.eager.adjoint import adjoint_norm
from flashode.engines.failure import non_finite_gradient
from flashode.engines.protocol import Forward, Gradients, Plan
from flashode.engines.unchanged import Unchanged
from flashode.errors import SolverError
from flashode.memory import Kind, check_saved, dense
from flashode.problem import DEFAULT_ATOL, Adjoint, Problem
from flashode.uncompiled import uncompiled

Solved = tuple[torch.Tensor, torch.Tensor | None]


def solve(problem: Problem, plan: Plan) -> Solved:
    """The states ``(times, *state)`` of a solve, tied into the graph by its exact reverse.

    Returns:
        The states, and the times where the solve finds them, as in ``Forward``.
    """
    if not plan.reversible:
        return plan.differentiable(problem.t, problem.y0, plan.parameters)
    if len(problem.times) == 1:
        # Nothing depends on the parameters: their gradients are none, rather than zeros.
        plan.forward(record=False)
        return problem.y0[None].clone(), None
    parameters = plan.parameters
    if _wants_gradients(problem.t, problem.y0, *parameters):
        # A copy of the state: its gradients read it, and its owner may change it before that.
        return _pair(
            problem,
            DiscreteAdjoint.apply(  # type: ignore[no-untyped-call]
                plan, problem.t, problem.y0.clone(), *parameters
            ),
        )
    solved = plan.forward(record=False)
    return solved.states, solved.times


def solve_with_adjoint(problem: Problem, adjoint: Adjoint, plan: Plan) -> Solved:
    """The same, tied into the graph by the continuous adjoint."""
    if _wants_gradients(problem.t, problem.y0, *plan.parameters):
        unchanged = None
        if problem.event is not None:
            unchanged = Unchanged("odeint_adjoint", func=problem.func, event_fn=problem.event.function)
        states, times = _pair(
            problem,
            ContinuousAdjoint.apply(  # type: ignore[no-untyped-call]
                plan, problem, adjoint, problem.t, problem.y0, *plan.parameters
            ),
        )
        if times is None or unchanged is None:
            return states, times
        unchanged.settle()
        start, event_t = times.to(states.device)
        event_t, _ = EventTime.apply(  # type: ignore[no-untyped-call]
            problem, unchanged, event_t, states[-1]
        )
        return states, torch.stack([start, event_t])
    solved = plan.forward(record=False)
    return solved.states, solved.times


def _wants_gradients(*tensors: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _pair(problem: Problem, outputs: Any) -> Solved:
    if problem.finds_times:
        states, times = outputs
        return states, times
    return outputs, None


class DiscreteAdjoint(torch.autograd.Function):
    """Exact gradients of the discrete solve in ``(t, y0, *parameters)``, to any order."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, t: torch.Tensor, y0: torch.Tensor, *parameters: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        solved = plan.forward(record=True)
        ctx.plan = plan
        ctx.record = solved.record
        # Copies of what has no gradient: autograd would refuse the reverse pass if their owner changed them.
        ctx.constants = [None if p.requires_grad else p.detach().clone() for p in parameters]
        # Checkpoints are saved here and not in the record, so that they are freed with the graph.
        inputs = (t, y0, *[p for p in parameters if p.requires_grad])
        ctx.kinds = list(map(Kind.of, inputs))
        ctx.save_for_backward(*inputs, *solved.checkpoints)
        return _outputs(ctx, solved)

    @staticmethod
    @uncompiled
    def backward(
        ctx: Any, grad_states: torch.Tensor, _: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors  # raises if one was changed in place since
        grad_states = dense(grad_states)
        if torch.is_grad_enabled() or _is_batched(grad_states):
            return (None, *_differentiable_gradients(ctx, saved[: len(ctx.kinds)], grad_states))
        found = ctx.plan.discrete_vjp(ctx.record, saved[len(ctx.kinds) :], grad_states)
        return (None, found.t, found.y0, *found.parameters)


def _outputs(ctx: Any, solved: Forward) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """The states, and beside them the times if the solve found them."""
    if solved.times is None:
        return solved.states
    ctx.mark_non_differentiable(solved.times)
    return solved.states, solved.times


def _is_batched(tensor: torch.Tensor) -> bool:
    """Whether it stands for many tensors at once and has no memory of its own to read."""
    functorch = torch._C._functorch
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def _differentiable_gradients(
    ctx: Any, saved: tuple[torch.Tensor, ...], grad_states: torch.Tensor
) -> list[torch.Tensor | None]:
    """The gradients through the same solve in plain torch: with a graph of their own, or batched."""
    for tensor, kind in zip(saved, ctx.kinds, strict=True):
        check_saved(tensor, kind)
    t, y0, *rest = saved
    remaining = iter(rest)
    parameters = tuple(next(remaining) if p is None else p for p in ctx.constants)
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases: where one was computed from another, autograd would go on to that one here, and once more
        # from what is returned.
        inputs = [x.view_as(x) for x in (t, y0, *parameters)]
        states, _ = ctx.plan.differentiable(inputs[0], inputs[1], tuple(inputs[2:]))
    needed = [x for x, needs in zip(inputs, ctx.needs_input_grad[1:], strict=True) if needs]
    found = iter(
        torch.autograd.grad(states, needed, grad_states, create_graph=create_graph, allow_unused=True)
    )
    return [next(found) if needs else None for needs in ctx.needs_input_grad[1:]]


class ContinuousAdjoint(torch.autograd.Function):
    """Gradients in ``(t, y0, *parameters)`` by integrating the adjoint equations backwards.

    The node has ``adjoint_options``, whose ``"norm"`` may be read and replaced before the backward pass; it
    is a function of ``(vjp_t, y, a, *vjp_parameters)``, in which y and a are flat for a tuple state.
    """

    @staticmethod
    def forward(
        ctx: Any,
        plan: Plan,
        problem: Problem,
        adjoint: Adjoint,
        t: torch.Tensor,
        y0: torch.Tensor,
        *parameters: torch.Tensor,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        solved = plan.forward(record=True)
        ctx.plan = plan
        ctx.record = solved.record
        ctx.versions = [parameter._version for parameter in parameters]
        ctx.problem = problem
        ctx.adjoint = adjoint
        ctx.norm = adjoint_norm(problem, adjoint)
        ctx.adjoint_options = {"norm": ctx.norm}
        ctx.times = solved.times
        ctx.save_for_backward(solved.states, *solved.checkpoints)
        return _outputs(ctx, solved)

    @staticmethod
    @uncompiled
    def backward(
        ctx: Any, grad_states: torch.Tensor, _: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        states, *checkpoints = ctx.saved_tensors  # raises if one was changed in place since
        grad_states = dense(grad_states)
        if _is_batched(grad_states):
            raise RuntimeError(
                "odeint_adjoint has no batched gradients (is_grads_batched, vectorize): use odeint, which has"
            )
        try:
            found = _continuous_gradients(ctx, tuple(checkpoints), states.detach(), grad_states.detach())
        except SolverError as error:
            problem: Problem = ctx.problem
            times = problem.t if ctx.times is None else ctx.times
            cause = non_finite_gradient(problem, times, grad_states.detach(), error.statistics)
            if cause is not None:
                raise cause from error
            # What was reached of the augmented state means nothing to the caller.
            error.times = error.partial = None
            error.add_note(
                "raised by the reverse solve of odeint_adjoint, which adjoint_rtol, adjoint_atol, "
                "adjoint_method and adjoint_options control"
            )
            raise
        gradients = (found.t, found.y0, *found.parameters)
        if torch.is_grad_enabled():
            gradients = _once("odeint_adjoint", gradients, (grad_states, states))
        return (None, None, None, *gradients)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            "odeint_adjoint has no derivative in forward mode: use odeint, which has, or torch.autograd.grad"
        )


def _continuous_gradients(
    ctx: Any, checkpoints: tuple[torch.Tensor, ...], states: torch.Tensor, grad_states: torch.Tensor
) -> Gradients:
    problem: Problem = ctx.problem
    norm = ctx.adjoint_options["norm"]
    if ctx.times is not None and len(set(ctx.times.to(problem.t.dtype).tolist())) == 1:
        # An event at the start, where the state is the initial one: there is nothing to integrate over.
        zeros = tuple(torch.zeros_like(p) for p in ctx.adjoint.parameters)
        return Gradients(grad_states.sum(0), torch.zeros_like(problem.t), zeros)
    if norm is ctx.norm:
        gradients: Gradients = ctx.plan.continuous_vjp(
            ctx.record, checkpoints, states, grad_states, ctx.times
        )
        return gradients
    # The function itself is differentiated: nothing but this knows its parameters as they were.
    if ctx.versions != [parameter._version for parameter in ctx.adjoint.parameters]:
        raise RuntimeError(
            "a parameter of odeint_adjoint has been modified by an inplace operation since the forward pass, "
            "and the backward pass reads it; change it after backward()"
        )
    # Replaced norms take y and a as the solver has them; without shapes none of them is unpacked.
    changed = replace(ctx.adjoint, norm=norm)
    flat = replace(problem, shapes=None, func=_flat_field(problem)) if problem.shapes is not None else problem
    return EagerPlan(flat, changed).continuous_vjp(None, (), states, grad_states, ctx.times)


def _flat_field(problem: Problem) -> Any:
    def field(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return problem.direction * problem.field(problem.direction * t, y)

    return field


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
        ctx.kinds = (Kind.of(t), Kind.of(y))
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
            return None, None, None, *_once("the time of an event", (gradient,), (grad_t, grad_y, *saved))
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


def _once(
    name: str, gradients: tuple[torch.Tensor | None, ...], sources: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor | None, ...]:
    """Gradients that depend on the sources and refuse to be differentiated, in what has that name."""
    present = [g for g in gradients if g is not None]
    refusing = iter(_Once.apply(name, len(present), *present, *sources))  # type: ignore[no-untyped-call]
    return tuple(None if g is None else next(refusing) for g in gradients)


_HIGHER_ORDERS = {
    "odeint_adjoint": "use odeint, whose gradients have gradients of any order",
    "the time of an event": (
        "Newton steps on it, with odeint's solution at torch.stack([t0, event_t]), have gradients of any "
        "order"
    ),
}


class _Once(torch.autograd.Function):
    """Hands gradients on and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, name: str, count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.name = name
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        raise RuntimeError(f"{ctx.name} cannot be differentiated twice: {_HIGHER_ORDERS[ctx.name]}")
