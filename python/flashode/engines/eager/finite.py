"""Values that are not finite, and where the first one is."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from flashode.engines import failure
from flashode.problem import Problem
from flashode.statistics import Statistics


def is_finite(x: torch.Tensor) -> bool:
    """Whether all elements are."""
    return bool(torch.isfinite(x.detach()).all())


def first_not_finite(k: list[torch.Tensor], y1: torch.Tensor) -> tuple[str, torch.Tensor] | None:
    """The first value of a step that is not finite, of its slopes and its solution, and its origin."""
    for stage in k:
        if not is_finite(stage):
            return "field", stage
    return None if is_finite(y1) else ("state", y1)


def first_output(states: torch.Tensor) -> int:
    """Index of the first output that is not finite; there is one."""
    return int((~torch.isfinite(states.detach())).view(len(states), -1).any(dim=1).nonzero()[0])


def require_finite(
    problem: Problem, states: torch.Tensor, times: Sequence[float], statistics: Statistics
) -> None:
    """Checks the outputs of a solve.

    Raises:
        NonFiniteError: At the first time whose state is not finite.
    """
    if not is_finite(states):
        first = first_output(states)
        raise failure.non_finite(problem, times[first], "state", states[first], statistics, states[:first])
