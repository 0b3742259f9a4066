"""The continuous adjoint: the adjoint equations, integrated backwards."""

from __future__ import annotations

from typing import Any

import torch

from flashode.autograd.graph import is_batched, once, outputs
from flashode.engines.failure import non_finite_gradient
from flashode.engines.protocol import Gradients, Plan
from flashode.errors import SolverError
from flashode.memory import dense
from flashode.problem import Continuous, Problem
from flashode.problem.adjoint_norm import adjoint_norm
from flashode.uncompiled import uncompiled


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
        adjoint: Continuous,
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
        return outputs(ctx, solved)

    @staticmethod
    @uncompiled
    def backward(
        ctx: Any, grad_states: torch.Tensor, _: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        states, *checkpoints = ctx.saved_tensors  # raises if one was changed in place since
        grad_states = dense(grad_states)
        if is_batched(grad_states):
            raise RuntimeError(
                "odeint_adjoint has no batched gradients (is_grads_batched, vectorize): use odeint, which has"
            )
        try:
            gradients = _continuous_gradients(ctx, tuple(checkpoints), states.detach(), grad_states.detach())
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
        answers: tuple[torch.Tensor | None, ...] = (gradients.t, gradients.y0, *gradients.parameters)
        if torch.is_grad_enabled():
            answers = once("odeint_adjoint", answers, (grad_states, states))
        return (None, None, None, *answers)

    @staticmethod
    def jvp(ctx: Any, *_: Any) -> Any:
        raise RuntimeError(
            "odeint_adjoint has no derivative in forward mode: use odeint, which has, or torch.autograd.grad"
        )


def _continuous_gradients(
    ctx: Any, checkpoints: tuple[torch.Tensor, ...], states: torch.Tensor, grad_states: torch.Tensor
) -> Gradients:
    problem: Problem = ctx.problem
    plan: Plan = ctx.plan
    if ctx.times is not None and len(set(ctx.times.to(problem.t.dtype).tolist())) == 1:
        # An event at the start, where the state is the initial one: there is nothing to integrate over.
        zeros = tuple(torch.zeros_like(p) for p in ctx.adjoint.parameters)
        return Gradients(grad_states.sum(0), torch.zeros_like(problem.t), zeros)
    norm = ctx.adjoint_options["norm"]
    if norm is ctx.norm:
        return plan.continuous_vjp(ctx.record, checkpoints, states, grad_states, ctx.times)
    # The function itself is differentiated: nothing but this knows its parameters as they were.
    if ctx.versions != [parameter._version for parameter in ctx.adjoint.parameters]:
        raise RuntimeError(
            "a parameter of odeint_adjoint has been modified by an inplace operation since the forward pass, "
            "and the backward pass reads it; change it after backward()"
        )
    return plan.continuous_vjp(ctx.record, checkpoints, states, grad_states, ctx.times, norm)
