"""The autograd functions that tie a solve into a graph: one for each gradient mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from flashode.engines.eager import EagerPlan
from flashode.engines.eager.adjoint import adjoint_norm
from flashode.engines.plan import Gradients, Plan
from flashode.errors import SolverError
from flashode.problem import Adjoint, Problem


class DiscreteAdjoint(torch.autograd.Function):
    """Exact gradients of the discrete solve in ``(t, y0, *parameters)``, to any order."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, t: torch.Tensor, y0: torch.Tensor, *parameters: torch.Tensor
    ) -> torch.Tensor:
        solved = plan.forward(record=True)
        ctx.plan = plan
        ctx.record = solved.record
        # Copies of what has no gradient: autograd would refuse the reverse pass if their owner changed them.
        ctx.constants = [None if p.requires_grad else p.detach().clone() for p in parameters]
        ctx.inputs = 2 + sum(p.requires_grad for p in parameters)
        # Checkpoints are saved here and not in the record, so that they are freed with the graph.
        ctx.save_for_backward(t, y0, *(p for p in parameters if p.requires_grad), *solved.checkpoints)
        return solved.states

    @staticmethod
    def backward(ctx: Any, grad_states: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors  # raises if one was changed in place since
        if torch.is_grad_enabled() or _is_batched(grad_states):
            return (None, *_differentiable_gradients(ctx, saved[: ctx.inputs], grad_states))
        found = ctx.plan.discrete_vjp(ctx.record, saved[ctx.inputs :], grad_states)
        return (None, found.t, found.y0, *found.parameters)


def _is_batched(tensor: torch.Tensor) -> bool:
    """Whether it stands for many tensors at once and has no memory of its own to read."""
    functorch = torch._C._functorch
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def _differentiable_gradients(
    ctx: Any, saved: tuple[torch.Tensor, ...], grad_states: torch.Tensor
) -> list[torch.Tensor | None]:
    """The gradients through the same solve in plain torch: with a graph of their own, or batched."""
    t, y0, *rest = saved
    remaining = iter(rest)
    parameters = tuple(next(remaining) if p is None else p for p in ctx.constants)
    needed = [x for x, needs in zip((t, y0, *parameters), ctx.needs_input_grad[1:], strict=True) if needs]
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        states = ctx.plan.differentiable(t, y0, parameters)
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
    ) -> torch.Tensor:
        states = plan.forward(record=False).states
        ctx.plan = plan
        ctx.problem = problem
        ctx.adjoint = adjoint
        ctx.norm = adjoint_norm(problem, adjoint)
        ctx.adjoint_options = {"norm": ctx.norm}
        ctx.save_for_backward(states, t, y0, *parameters)
        return states

    @staticmethod
    def backward(ctx: Any, grad_states: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        states, t, y0, *parameters = ctx.saved_tensors
        if _is_batched(grad_states):
            raise RuntimeError(
                "odeint_adjoint has no batched gradients (is_grads_batched, vectorize): use odeint, which has"
            )
        try:
            found = _continuous_gradients(ctx, states.detach(), grad_states.detach())
        except SolverError as error:
            # What was reached of the augmented state means nothing to the caller.
            error.times = error.partial = None
            error.add_note(
                "raised by the reverse solve of odeint_adjoint, which adjoint_rtol, adjoint_atol, "
                "adjoint_method and adjoint_options control"
            )
            raise
        gradients = (found.t, found.y0, *found.parameters)
        if torch.is_grad_enabled():
            present = [g for g in gradients if g is not None]
            refuse = _Once.apply(  # type: ignore[no-untyped-call]
                len(present), *present, grad_states, t, y0, *parameters
            )
            once = iter(refuse)
            gradients = tuple(None if g is None else next(once) for g in gradients)
        return (None, None, None, *gradients)


def _continuous_gradients(ctx: Any, states: torch.Tensor, grad_states: torch.Tensor) -> Gradients:
    norm = ctx.adjoint_options["norm"]
    if norm is ctx.norm:
        gradients: Gradients = ctx.plan.continuous_vjp(states, grad_states)
        return gradients
    problem: Problem = ctx.problem
    # Replaced norms take y and a as the solver has them; without shapes none of them is unpacked.
    changed = replace(ctx.adjoint, norm=norm)
    flat = replace(problem, shapes=None, func=_flat_field(problem)) if problem.shapes is not None else problem
    return EagerPlan(flat, changed).continuous_vjp(states, grad_states)


def _flat_field(problem: Problem) -> Any:
    def field(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return problem.direction * problem.field(problem.direction * t, y)

    return field


class _Once(torch.autograd.Function):
    """Hands gradients on and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        raise RuntimeError(
            "odeint_adjoint cannot be differentiated twice: use odeint, whose gradients have gradients of "
            "any order"
        )
