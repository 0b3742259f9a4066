"""Warnings of equations that were not solved, or not well. Shared by the engines."""

from __future__ import annotations

import torch

from flashode import notices
from flashode.engines.derivatives import HIDDEN_DERIVATIVE, hides_derivative
from flashode.errors import AdjointWarning, ConvergenceWarning
from flashode.methods import Adams
from flashode.problem import AdamsOptions, Continuous, ImplicitOptions, Problem


def warn_unconverged(problem: Problem, t: float, y: torch.Tensor) -> None:
    """Warn that the equations of a step were not solved and the solve goes on.

    Args:
        problem: What is being solved; its options are those of a method that iterates.
        t: Solver time at the start of the first such step.
        y: State there, or another that derivatives may be asked at.
    """
    options = problem.options
    assert isinstance(options, AdamsOptions | ImplicitOptions)
    steps = "smaller steps"
    if options.on_outputs:
        steps = (
            "without step_size each output interval is one step: smaller ones (options={'step_size': ...})"
        )
    if isinstance(problem.method, Adams):
        remedy = f"{steps}, larger rtol and atol or options={{'max_iters': ...}} may help"
    elif hides_derivative(problem, t, y):
        remedy = HIDDEN_DERIVATIVE
    else:
        remedy = f"{steps} or options={{'max_iters': ...}} may help"
    notices.warn(
        f"{problem.method.name}: the equations of a step were not solved in max_iters = {options.max_iters} "
        f"iterations, first at t = {problem.direction * t:.9g}; the solve goes on with what was reached and "
        f"may be wrong: {remedy}",
        ConvergenceWarning,
    )


# The error of a reverse solve, in tolerances: where equations are not stiff it stays below a few hundred.
# Beyond this, and beyond a share of the state, gradients are wrong by far more than the tolerances allow.
_MOST_TOLERANCES = 1000
_LEAST_SHARE = 0.1
# Without tolerances, in states: long steps may lose the state, with a gradient as good as their solution.
_MOST_STATES = 10


def warn_lost(problem: Problem, adjoint: Continuous, miss: float, t: float, size: float) -> None:
    """Warn if a reverse solve ended at other states than those of the forward solve.

    Args:
        problem: What was solved.
        adjoint: How its adjoint equations were.
        miss: The largest difference in any element.
        t: The solver time of it.
        size: The largest element of the states.
    """
    if problem.method.control == adjoint.integration.method.control == "error":
        rtol, atol = (
            max(map(_largest, pair))
            for pair in ((problem.rtol, adjoint.integration.rtol), (problem.atol, adjoint.integration.atol))
        )
        tolerance = atol + rtol * size
        most = max(_MOST_TOLERANCES * tolerance, _LEAST_SHARE * size)
        measure = f"where the tolerances ask for {tolerance:.3g}"
    else:
        most = _MOST_STATES * size
        measure = f"where the states are no larger than {size:.3g}"
    if miss <= most:
        return
    notices.warn(
        f"odeint_adjoint: integrated back to t = {problem.direction * t:.9g} the state misses that of the "
        f"forward solve by {miss:.3g}, {measure}: the equations are unstable in reverse, as stiff ones are, "
        "and the gradients may be wrong. Use odeint, whose gradient is exact; smaller adjoint_rtol and "
        "adjoint_atol or more output times, at each of which the state is put right, may help",
        AdjointWarning,
    )


def _largest(tolerance: float | torch.Tensor) -> float:
    return float(tolerance.max()) if isinstance(tolerance, torch.Tensor) else tolerance
