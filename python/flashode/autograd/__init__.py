"""Solves tied into autograd's graph: a file for each gradient mode."""

from __future__ import annotations

from typing import Any

import torch

from flashode.autograd.continuous import ContinuousAdjoint
from flashode.autograd.discrete import DiscreteAdjoint
from flashode.engines.protocol import Plan
from flashode.problem import Continuous, Gradient, Problem

# The states ``(times, *state)``, and the times where the solve finds them, as in ``Forward``.
Solved = tuple[torch.Tensor, torch.Tensor | None]


def solve(problem: Problem, gradient: Gradient, plan: Plan) -> Solved:
    """Run a plan; where gradients are wanted, its solution has them by the gradient mode."""
    if isinstance(gradient, Continuous):
        parameters = plan.parameters
        if _wants_gradients(problem.t, problem.y0, *parameters):
            inputs = problem, gradient, problem.t, problem.y0, *parameters
            return _pair(problem, ContinuousAdjoint.apply(plan, *inputs))  # type: ignore[no-untyped-call]
    else:
        if not plan.reversible:
            return plan.differentiable(problem.t, problem.y0, plan.parameters)
        if len(problem.times) == 1:
            # Nothing depends on the parameters: their gradients are none, rather than zeros.
            plan.forward(record=False)
            return problem.y0[None].clone(), None
        parameters = plan.parameters
        if _wants_gradients(problem.t, problem.y0, *parameters):
            # A copy of the state: its gradients read it, and its owner may change it before that.
            inputs = problem.t, problem.y0.clone(), *parameters
            return _pair(problem, DiscreteAdjoint.apply(plan, *inputs))  # type: ignore[no-untyped-call]
    solved = plan.forward(record=False)
    return solved.states, solved.times


def _wants_gradients(*tensors: torch.Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _pair(problem: Problem, outputs: Any) -> Solved:
    if problem.finds_times:
        states, times = outputs
        return states, times
    return outputs, None
