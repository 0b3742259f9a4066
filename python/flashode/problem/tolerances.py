"""Tolerances: a number, a tensor, or one of these for each component of a tuple state."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch

from flashode.problem.checks import check_dense
from flashode.wording import shown

Tolerance = float | torch.Tensor


class CheckedTolerance(NamedTuple):
    """A tolerance.

    Attributes:
        value: A float, or a tensor that broadcasts against the state.
        least: The least element.
    """

    value: Tolerance
    least: float


_ACCEPTED = (
    "a number, a tensor that broadcasts to the state or, for a tuple state, one of these for each component"
)


def make_tolerance(
    name: str, value: Any, y0: torch.Tensor, shapes: tuple[torch.Size, ...] | None, dtype: torch.dtype
) -> CheckedTolerance:
    """Check a tolerance and bring it to a float or to a tensor that broadcasts against the (flat) state.

    Args:
        name: The argument's name in messages.
        value: What the user gave.
        y0: The state, flat where ``shapes`` are given.
        shapes: Shapes of the components that ``value`` may list, or None if it may not.
        dtype: Of a tensor tolerance.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative or NaN, requires grad, or does not fit.
    """
    if isinstance(value, (float, int)):
        return scalar_tolerance(name, float(value))
    if value is None or isinstance(value, str):
        raise TypeError(f"{name} must be {_ACCEPTED}, got {shown(value)}")
    if isinstance(value, torch.Tensor):
        check_dense(name, value)
    if isinstance(value, torch.Tensor) and value.requires_grad:
        raise ValueError(f"{name} must not require grad, got a tensor that does")
    if shapes is not None and _is_sequence(value):
        parts = tuple(value)
        if len(parts) != len(shapes):
            raise ValueError(
                f"{name} must have {len(shapes)} entries, as many as the tuple y0, got {len(parts)}"
            )
        flat = [_tensor(name, part, shape, y0, dtype) for part, shape in zip(parts, shapes, strict=True)]
        together = torch.cat([value.reshape(-1) for value, _ in flat])
        return CheckedTolerance(together, min(least for _, least in flat))
    if not _is_sequence(value):
        try:
            return scalar_tolerance(name, float(value))
        except TypeError:
            raise TypeError(f"{name} must be {_ACCEPTED}, got {shown(value)}") from None
    return CheckedTolerance(*_tensor(name, value, y0.shape, y0, dtype))


def scalar_tolerance(name: str, value: float) -> CheckedTolerance:
    """A tolerance that is a number.

    Raises:
        ValueError: If it is negative or NaN.
    """
    if not value >= 0:
        raise ValueError(f"{name} must be at least 0, got {shown(value)}")
    return CheckedTolerance(value, value)


def _is_sequence(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.dim() > 0
    return isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0


def _tensor(
    name: str, value: Any, shape: torch.Size, y0: torch.Tensor, dtype: torch.dtype
) -> tuple[torch.Tensor, float]:
    """The tolerance as a tensor of that shape, and its least element: infinity where there is none."""
    if isinstance(value, torch.Tensor):
        check_dense(name, value)
    try:
        # A copy: the adjoint equations are to be solved to the tolerance as it is now.
        tensor = torch.as_tensor(value, dtype=dtype, device=y0.device).clone()
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{name} must be {_ACCEPTED}, got {shown(value)}") from None
    if tensor.requires_grad:
        raise ValueError(f"{name} must not require grad, got a tensor that does")
    least = float(tensor.min()) if tensor.numel() else math.inf
    if not least >= 0:  # NaN among them
        place = tuple(int(i) for i in (~(tensor >= 0)).nonzero()[0])
        raise ValueError(
            f"{name} must be at least 0 everywhere, got {tensor[place].item()} at index {list(place)}"
        )
    try:
        return tensor.expand(shape), least
    except RuntimeError:
        raise ValueError(
            f"{name} must broadcast to shape {tuple(shape)}, got shape {tuple(tensor.shape)}"
        ) from None
