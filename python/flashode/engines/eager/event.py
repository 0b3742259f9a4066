"""The time of an event inside a step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from flashode.problem import Problem


def is_before_event(problem: Problem, t: float, y: torch.Tensor) -> bool:
    """Whether no output of the event function has crossed zero.

    Args:
        problem: What is being solved; it has an event.
        t: Solver time.
        y: State there.
    """
    time = torch.full((), t, dtype=problem.real_dtype, device=y.device)
    return problem.event_value(time, y).item() > 0


@torch.no_grad()
def find_event(problem: Problem, state: Callable[[float], torch.Tensor], t0: float, t1: float) -> float:
    """The event's time in a step that starts before it and ends after it, by bisection.

    Args:
        problem: What is being solved.
        state: The interpolant inside the step.
        t0: Solver time at its start.
        t1: Solver time at its end.

    Returns:
        The middle of the first bracket that is no longer than the absolute tolerance (its least element), or
        than what floating-point numbers can tell apart.
    """
    tolerance = float(problem.atol.min() if isinstance(problem.atol, torch.Tensor) else problem.atol)
    halvings = math.inf
    if tolerance > 0:
        halvings = math.ceil(math.log((t1 - t0) / tolerance) / math.log(2.0))
    while halvings > 0:
        middle = (t0 + t1) / 2
        if not t0 < middle < t1:
            break
        if is_before_event(problem, middle, state(middle)):
            t0 = middle
        else:
            t1 = middle
        halvings -= 1
    return (t0 + t1) / 2
