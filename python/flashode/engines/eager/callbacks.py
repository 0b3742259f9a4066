"""Calls of the user's callbacks."""

from __future__ import annotations

import torch

from flashode.problem import Problem
from flashode.problem.definition import Callback


def notify(
    problem: Problem, callback: Callback | None, dtype: torch.dtype, t: float, y: torch.Tensor, dt: float
) -> None:
    """Call a callback, if there is one, with the user's own time, the user's structure and a positive step.

    Args:
        problem: What is being solved.
        callback: What to call.
        dtype: Of the 0-d tensors that time and step are handed over in.
        t: Solver time at the start of the step.
        y: State there.
        dt: Size of the step.
    """
    if callback is None:
        return
    device = y.device
    time = torch.full((), problem.direction * t, dtype=dtype, device=device)
    callback(time, problem.unflatten(y), torch.full((), dt, dtype=dtype, device=device))
