"""Which stepper takes the steps of a problem's method."""

from __future__ import annotations

from flashode.engines.eager.adams import AdamsStepper
from flashode.engines.eager.implicit import ImplicitStepper
from flashode.engines.eager.step import RungeKuttaStepper, Stepper
from flashode.methods import Adams
from flashode.problem import Problem
from flashode.statistics import Statistics


def make_stepper(problem: Problem, statistics: Statistics, *, quiet: bool = False) -> Stepper:
    """What takes the steps of the problem's method; ``quiet``, without a word of unsolved equations."""
    if isinstance(problem.method, Adams):
        return AdamsStepper(problem, statistics, quiet)
    return runge_kutta_stepper(problem, statistics, quiet=quiet)


def runge_kutta_stepper(
    problem: Problem, statistics: Statistics, *, quiet: bool = False
) -> RungeKuttaStepper:
    """The same where the method is known to be a Runge-Kutta one."""
    if problem.tableau.equations == "none":
        return RungeKuttaStepper(problem, statistics)
    return ImplicitStepper(problem, statistics, quiet)
