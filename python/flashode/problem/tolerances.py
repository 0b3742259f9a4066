"""Tolerances: a number, a tensor, or one of these for each component of a tuple state."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Any, NamedTuple

import torch

from flashode.memory import is_plain
from flashode.problem.checks import check_dense
from flashode.wording import shown

Tolerance = float | torch.Tensor


class CheckedTolerance(NamedTuple):
    """A tolerance.

    Attributes:
        value: A float, or a tensor that broadcasts against the state.
        least: The least element.
        by_element: Of a tensor its elements as the state's lie in memory, in its real dtype; else None.
    """

    value: Tolerance
    least: float
    by_element: torch.Tensor | None = None


# A tensor of more elements is read anew at each solve.
_MOST_NUMBERS_KEPT = 1024
# Those that NumPy reads as they are.
_DTYPES = (torch.float32, torch.float64)

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
        return _scalar(name, float(value))
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
        least = min(least for _, least in flat)
        if together.shape != y0.shape:  # the augmented state's
            return CheckedTolerance(together, least)
        return _elementwise(together, least, y0)
    if not _is_sequence(value):
        try:
            return _scalar(name, float(value))
        except TypeError:
            raise TypeError(f"{name} must be {_ACCEPTED}, got {shown(value)}") from None
    return _elementwise(*_tensor(name, value, y0.shape, y0, dtype), y0)


def plain_tolerance(value: Any) -> Hashable | None:
    """What the check of a tolerance depends on, as a key: a number or a small tensor's; None of others."""
    if type(value) in (float, int):
        return value  # type: ignore[no-any-return]
    if not is_plain(value) or value.dtype not in _DTYPES or value.requires_grad:
        return None
    if value.numel() > _MOST_NUMBERS_KEPT:
        return None
    numbers = value.tolist() if value.ndim == 1 else value.reshape(-1).tolist()
    return value.dtype, value.shape, *numbers


def _elementwise(tensor: torch.Tensor, least: float, y0: torch.Tensor) -> CheckedTolerance:
    with torch.inference_mode(False):
        in_state = tensor.to(y0.dtype.to_real()).expand(y0.shape)
        return CheckedTolerance(tensor, least, in_state.clone(memory_format=torch.contiguous_format))


def _scalar(name: str, value: float) -> CheckedTolerance:
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
        with torch.inference_mode(False):
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
