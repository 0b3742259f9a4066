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


def times_or_start(t: Any, y0: Any, *, to_event: bool) -> torch.Tensor:
    """The times of a solve that is only asked about: a tensor's own, or the start alone.

    Args:
        t: What the user gave: times, one time, or None for 0.
        y0: The state, not checked yet.
        to_event: Whether the solve goes on to an event, for which it has a second time.

    Raises:
        TypeError: If it is no tensor, no number and not None.
    """
    times = t if isinstance(t, torch.Tensor) and t.dim() > 0 else _start(t, y0)
    if not to_event or times.shape != (1,):
        return times
    start = times.detach()
    return torch.cat([times, start + start.abs().clamp(min=1)])


def _start(t: Any, y0: Any) -> torch.Tensor:
    try:
        time = 0.0 if t is None else float(t)
    except (TypeError, ValueError):
        raise TypeError(f"t must be a tensor of times, a number or None, got {type(t).__name__}") from None
    return torch.tensor([time], dtype=torch.float64, device=device_of(y0))
