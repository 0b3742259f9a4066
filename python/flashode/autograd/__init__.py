"""Solves tied into autograd's graph: a file for each gradient mode."""

from __future__ import annotations

from typing import Any

import torch

from flashode.autograd.continuous import ContinuousAdjoint
from flashode.autograd.discrete import DiscreteAdjoint
from flashode.engines.protocol import Plan, Undecided
from flashode.problem import Continuous, Gradient, Problem

# The states ``(times, *state)``, and the times where the solve finds them, as in ``Forward``.
Solved = tuple[torch.Tensor, torch.Tensor | None]


def solve(problem: Problem, gradient: Gradient, plan: Plan) -> Solved:
    """Run a plan; where gradients are wanted, its solution has them by the gradient mode."""
    try:
        return _solved(problem, gradient, plan)
    except Undecided as undecided:
        return _solved(problem, gradient, undecided.plan)


def _solved(problem: Problem, gradient: Gradient, plan: Plan) -> Solved:
    discrete = not isinstance(gradient, Continuous)
    if discrete and not plan.reversible:
        return plan.differentiable(problem.t, problem.y0, plan.parameters)
    if discrete and len(problem.times) == 1:
        # Nothing depends on the parameters: their gradients are none, rather than zeros.
        plan.forward(record=False)
        return problem.y0[None].clone(), None
    parameters = plan.parameters if torch.is_grad_enabled() else ()
    inputs = problem.t, problem.y0, *parameters
    if not (torch.is_grad_enabled() and any(x.requires_grad for x in inputs)):
        solved = plan.forward(record=False)
        return solved.states, solved.times
    outputs: Any
    if isinstance(gradient, Continuous):
        outputs = ContinuousAdjoint.apply(plan, problem, gradient, *inputs)  # type: ignore[no-untyped-call]
    else:
        # A copy of the state: its gradients read it, and its owner may change it before that.
        inputs = problem.t, problem.y0.clone(), *parameters
        outputs = DiscreteAdjoint.apply(plan, *inputs)  # type: ignore[no-untyped-call]
    return outputs if problem.finds_times else (outputs, None)
