"""The sizes of adaptive steps."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager

import torch

from flashode.engines.eager.step import RungeKuttaStepper
from flashode.problem import AdaptiveOptions, Problem


def measuring(problem: Problem) -> AbstractContextManager[None]:
    """The grad mode for norms: the caller's for a norm function of the user, which may differentiate."""
    return torch.set_grad_enabled(torch.is_grad_enabled() and problem.integration.norm is not None)


def first_step(stepper: RungeKuttaStepper, f0: torch.Tensor) -> float:
    """A first step size; it takes one evaluation.

    With the order of the method lowered by one and the arithmetic in the state's precision, as torchdiffeq
    has it.
    """
    problem = stepper.problem
    y0, policy = problem.y0, problem.tableau.first_step
    with measuring(problem):
        scale = problem.atol + y0.abs() * problem.rtol
        d0 = problem.norm(y0 / scale).detach().abs()
        d1 = problem.norm(f0 / scale).detach().abs()
    if d0 < policy.least_norm or d1 < policy.least_norm:
        h0 = torch.full((), policy.least_step, dtype=problem.real_dtype, device=y0.device)
    else:
        h0 = policy.share * d0 / d1
    # On the graph, if there is one: the field may differentiate itself in a state that requires grad.
    y1 = y0 + h0.to(problem.real_dtype) * f0
    f1 = stepper.evaluate(problem.times[0] + float(h0), None, y1)
    with measuring(problem):
        d2 = (problem.norm((f1 - f0) / scale).detach() / h0).abs()
    if d1 <= policy.flat and d2 <= policy.flat:
        h1 = torch.maximum(torch.full_like(h0, policy.least_step), h0 * policy.flat_growth)
    else:
        h1 = (policy.share / torch.maximum(d1, d2)) ** (1.0 / problem.tableau.order)
    step = float(torch.minimum(policy.most_growth * h0, h1.to(h0.dtype)))
    if 0 < step < math.inf:
        return step
    # A probe that left the field's domain, or norms that overflowed, only tell that the step must be smaller.
    probe = float(h0)
    return probe if 0 < probe < math.inf else policy.least_step


def error_ratio(problem: Problem, error: torch.Tensor, y0: torch.Tensor, y1: torch.Tensor) -> float:
    """Norm of the error estimate over the tolerance: at most 1 in a step that can be accepted."""
    tolerance = problem.atol + problem.rtol * torch.maximum(y0.abs(), y1.abs())
    return abs(problem.norm(error / tolerance).item())


def next_step(options: AdaptiveOptions, order: int, dt: float, ratio: float) -> float:
    """The size of the step after one of size ``dt`` with that error ratio, before it is clamped."""
    if ratio == 0:
        return dt * options.ifactor
    if not math.isfinite(ratio):
        return dt * options.dfactor
    shrink_limit = 1.0 if ratio < 1 else options.dfactor
    factor: float = options.safety / ratio ** (1 / order)
    return dt * min(options.ifactor, max(factor, shrink_limit))
