"""Arguments that are one time."""

from __future__ import annotations

from typing import Any

import torch

from flashode.dispatch import is_wrapped
from flashode.problem.checks import check_dense


def as_time(argument: str, t: Any, y0: Any) -> torch.Tensor:
    """One time as a 0-d tensor: a tensor's own, or a number's, float64 on the state's device.

    Args:
        argument: Its name in messages.
        t: What the user gave.
        y0: The state, not checked yet.

    Raises:
        TypeError: If it is no tensor and no number.
        ValueError: If it is a tensor of several.
    """
    if isinstance(t, torch.Tensor):
        check_dense(argument, t)
        if t.numel() != 1:
            raise ValueError(f"{argument} must hold one time, got shape {tuple(t.shape)}")
        return t.reshape(())
    if isinstance(t, (int, float)):
        return torch.tensor(t, dtype=torch.float64, device=device_of(y0))
    raise TypeError(f"{argument} must be a 0-d floating-point tensor or a number, got {type(t).__name__}")


def as_floats(times: torch.Tensor) -> list[float]:
    """The numbers in a 1-D tensor."""
    if is_wrapped(times):
        # What a transform wraps has no memory that can be read at once.
        return [float(time) for time in times.detach().unbind()]
    numbers: list[float] = times.tolist()
    return numbers


def device_of(y0: Any) -> torch.device | None:
    """Where a state is, which is not checked yet; None if it is none."""
    first = y0[0] if isinstance(y0, tuple) and y0 else y0
    return first.device if isinstance(first, torch.Tensor) else None
