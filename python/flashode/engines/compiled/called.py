"""Functions of the user's that a solve calls from Python."""

from __future__ import annotations

import torch
from torch import Tensor

from flashode.engines.compiled.requests import CalledFunction
from flashode.problem import Problem


def called_norm(problem: Problem) -> CalledFunction:
    """The user's norm."""
    state = _memory(problem)

    def norm() -> float:
        # A copy: the user may keep what the norm is asked about.
        with torch.no_grad():
            return abs(float(problem.norm(state.clone())))

    return CalledFunction(norm, state)


def called_event(problem: Problem) -> CalledFunction:
    """The user's event function."""
    state = _memory(problem)

    def value(t: float) -> float:
        time = torch.full((), t, dtype=torch.float64, device="cpu")
        with torch.no_grad():
            return float(problem.event_value(time, state))

    return CalledFunction(value, state)


def _memory(problem: Problem) -> Tensor:
    return torch.empty_like(problem.y0, memory_format=torch.contiguous_format, requires_grad=False)
