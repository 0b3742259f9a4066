"""What is said of equations that were not solved. Shared by the engines."""

from __future__ import annotations

from flashode import notices
from flashode.errors import ConvergenceWarning
from flashode.methods import Adams
from flashode.problem import AdamsOptions, ImplicitOptions, Problem


def warn_unconverged(problem: Problem, t: float) -> None:
    """Warn that the equations of a step were not solved and the solve goes on.

    Args:
        problem: What is being solved; its options are those of a method that iterates.
        t: Solver time at the start of the first such step.
    """
    options = problem.options
    assert isinstance(options, AdamsOptions | ImplicitOptions)
    steps = "Smaller steps"
    if options.on_outputs:
        steps = (
            "Without step_size each output interval is one step: smaller ones (options={'step_size': ...})"
        )
    tolerances = ", larger rtol and atol" if isinstance(problem.method, Adams) else ""
    notices.warn(
        f"{problem.method.name}: the equations of a step were not solved in max_iters = {options.max_iters} "
        f"iterations, first at t = {problem.direction * t:.9g}; the solve goes on with what was reached and "
        f"may be wrong. {steps}{tolerances} or options={{'max_iters': ...}} may help",
        ConvergenceWarning,
    )
