"""What paths are made of, checked."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# A polynomial of a piece needs two ends.
_FEWEST = 2


def checked(t: Any, values: Any) -> tuple[Tensor, Tensor]:
    """Knots, and values ``(..., length, channels)``; not a number stands for one that is missing.

    Raises:
        TypeError: If one of the two is no floating-point tensor.
        ValueError: If a shape, a dtype, a device or the order of the knots is impossible.
    """
    for name, given in (("t", t), ("values", values)):
        if not isinstance(given, Tensor):
            raise TypeError(f"{name} must be a tensor, got {type(given).__name__}")
        if not given.is_floating_point():
            raise TypeError(f"{name} must be of floating-point numbers, got {given.dtype}")
    if t.dim() != 1 or len(t) < _FEWEST:
        raise ValueError(f"t must be 1-D and hold at least {_FEWEST} knots, got shape {tuple(t.shape)}")
    if t.requires_grad:
        raise ValueError("t must not require grad: knots are constants of differentiation; give t.detach()")
    if not bool(t.isfinite().all()) or not bool((t[1:] > t[:-1]).all()):
        raise ValueError(f"t must be finite and strictly increasing, got {t.tolist()[:8]}")
    if values.dim() < 2 or values.shape[-2] != len(t) or not values.shape[-1]:
        raise ValueError(
            f"values must have shape (..., {len(t)}, channels), rows at each of t, got {tuple(values.shape)}"
        )
    if values.dtype != t.dtype or values.device != t.device:
        raise ValueError(
            f"values must be of t's dtype and device, {t.dtype} on {t.device}, got {values.dtype} on "
            f"{values.device}"
        )
    if bool(values.isinf().any()):
        raise ValueError("values must be finite, or NaN where they are missing, got an infinity")
    return t, values


def times_between(t: Tensor) -> Tensor:
    """How long each piece is, to be divided by: of shape ``(length - 1, 1)``."""
    return (t[1:] - t[:-1]).unsqueeze(-1)


def neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of each value that is missing the places of the nearest observations before it and after it.

    Where there is none on a side both are that on the other one; where there is none at all both are zero.
    """
    length = values.shape[-2]
    places = torch.arange(length, device=values.device).unsqueeze(-1)
    observed = ~values.isnan()
    before = torch.where(observed, places, -1).cummax(-2).values
    after = torch.where(observed, places, length).flip(-2).cummin(-2).values.flip(-2)
    none = (before < 0) & (after == length)
    first = torch.where(before < 0, after, before).masked_fill(none, 0)
    last = torch.where(after == length, before, after).masked_fill(none, 0)
    return first, last


def filled(t: Tensor, values: Tensor) -> Tensor:
    """Values with lines through what is missing; before the first observation, and after the last, that."""
    if not bool(values.isnan().any()):
        return values
    before, after = neighbours(values)
    known = values.nan_to_num(nan=0.0)
    low, high = known.gather(-2, before), known.gather(-2, after)
    # One where the two are the same, and nothing rises.
    apart = torch.where(before == after, 1.0, t[after] - t[before])
    return low + (t.unsqueeze(-1) - t[before]) / apart * (high - low)


def filled_at_ends(values: Tensor) -> Tensor:
    """Values whose missing ones are between observations; a channel that has none is zero."""
    before, after = neighbours(values)
    at_ends = values.isnan() & (before == after)
    return torch.where(at_ends, values.nan_to_num(nan=0.0).gather(-2, before), values)
