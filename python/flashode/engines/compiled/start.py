"""Where a problem starts, for those who capture its functions."""

from __future__ import annotations

from flashode.capture import Start
from flashode.problem import Problem


def start_of(problem: Problem) -> Start:
    """The start of a problem, as its functions see it."""
    t = (problem.direction * problem.t[0]).detach().to(problem.real_dtype)
    return Start(t, problem.unflatten(problem.y0.detach()), problem.direction * problem.times[-1])
