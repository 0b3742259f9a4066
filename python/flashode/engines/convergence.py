"""What is said of equations that were not solved. Shared by the engines."""

from __future__ import annotations

import torch

from flashode import notices
from flashode.engines.derivatives import HIDDEN_DERIVATIVE, hides_derivative
from flashode.errors import ConvergenceWarning
from flashode.methods import Adams
from flashode.problem import AdamsOptions, ImplicitOptions, Problem


def warn_unconverged(problem: Problem, t: float, y: torch.Tensor) -> None:
    """Warn that the equations of a step were not solved and the solve goes on.

    Args:
        problem: What is being solved; its options are those of a method that iterates.
        t: Solver time at the start of the first such step.
        y: State there, or another that derivatives may be asked at.
    """
    options = problem.options
    assert isinstance(options, AdamsOptions | ImplicitOptions)
    if isinstance(problem.method, Adams):
        remedy = "smaller steps, larger rtol and atol or options={'max_iters': ...} may help"
    elif hides_derivative(problem, t, y):
        remedy = HIDDEN_DERIVATIVE
    else:
        remedy = "smaller steps or options={'max_iters': ...} may help"
    notices.warn(
        f"{problem.method.name}: the equations of a step were not solved in max_iters = {options.max_iters} "
        f"iterations, first at t = {problem.direction * t:.9g}; the solve goes on with what was reached and "
        f"may be wrong: {remedy}",
        ConvergenceWarning,
    )
