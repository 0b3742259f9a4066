"""Calls of the user's callbacks."""

from __future__ import annotations

import torch

from flashode.problem import Callback, Problem


def notify(
    problem: Problem, callback: Callback | None, dtype: torch.dtype, t: float, y: torch.Tensor, dt: float
) -> torch.Tensor:
    """Call a callback, if there is one, with the user's own time, the user's structure and a positive step.

    As in torchdiffeq it may write on the state, and the solve goes on with that: a copy, because outputs and
    the caller may hold the state.

    Args:
        problem: What is being solved.
        callback: What to call.
        dtype: Of the 0-d tensors that time and step are handed over in.
        t: Solver time at the start of the step.
        y: State there.
        dt: Size of the step.

    Returns:
        The state to go on with.
    """
    if callback is None:
        return y
    device, y = y.device, y.clone()
    time = torch.full((), problem.direction * t, dtype=dtype, device=device)
    callback(time, problem.unflatten(y), torch.full((), dt, dtype=dtype, device=device))
    return y
