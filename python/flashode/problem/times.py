"""The times of the outputs, checked and in solver time, which increases."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from operator import lt
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from flashode import notices
from flashode.dispatch import tracer
from flashode.memory import is_plain
from flashode.problem.checks import check_dense
from flashode.problem.moments import as_floats

# Reading and checking times takes longer than a small solve, and most solves have those of an earlier one.
_MOST_KEPT = 32
_MOST_NUMBERS_KEPT = 4096
_MOST_GRIDS_KEPT = 8
_kept: dict[bytes, OutputTimes] = {}
_DTYPES = (torch.float32, torch.float64)


@dataclass(frozen=True, eq=False)
class OutputTimes:
    """Strictly increasing solver times.

    Attributes:
        direction: They are this times the user's: 1 or -1.
        values: The times.
    """

    direction: float
    values: tuple[float, ...]

    @cached_property
    def memory(self) -> Tensor:
        """The times as a tensor, float64 on the CPU; nobody writes on it."""
        return self.tensor(torch.float64, torch.device("cpu"))

    @cached_property
    def first(self) -> Tensor:
        """The first time, as a tensor of one, likewise."""
        return self.memory[:1]

    def tensor(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The times as a tensor that belongs to no graph; nobody writes on it."""
        tensor = self._tensors.get((dtype, device))
        if tensor is None:
            with torch.inference_mode(False):
                tensor = torch.tensor(self.values, dtype=dtype, device=device)
            # What is made while a tracer is at work belongs to the tracer.
            if tracer() is None:
                self._tensors[dtype, device] = tensor
        return tensor

    def grid(self, t: Tensor, step_size: float) -> Tensor:
        """The grid of equal steps over ``t``, which are these times; nobody writes on it."""
        if t is not self._tensors.get((t.dtype, t.device)):
            return equal_steps(t, step_size)
        key = step_size, t.dtype, t.device
        grid = self._grids.get(key)
        if grid is None:
            with torch.inference_mode(False):
                grid = equal_steps(t, step_size)
            if len(self._grids) >= _MOST_GRIDS_KEPT:
                self._grids.clear()
            if grid.numel() <= _MOST_NUMBERS_KEPT and tracer() is None:
                self._grids[key] = grid
        return grid

    @cached_property
    def _tensors(self) -> dict[tuple[torch.dtype, torch.device], Tensor]:
        return {}

    @cached_property
    def _grids(self) -> dict[tuple[float, torch.dtype, torch.device], Tensor]:
        return {}


def equal_steps(t: Tensor, step_size: float | Tensor) -> Tensor:
    """From the first of some times to the last, steps of one size, of which the last may be shorter."""
    size = step_size.detach() if isinstance(step_size, Tensor) else step_size
    steps = torch.ceil((t[-1] - t[0]).detach() / size + 1)
    grid = torch.arange(0, int(steps), dtype=t.dtype, device=t.device) * step_size + t[0]
    return torch.cat([grid[:-1], t[-1:]])


def make_times(t: Any, device: torch.device) -> tuple[Tensor, OutputTimes]:
    """The times of a solve as a tensor of solver times on the state's device, and as numbers.

    Raises:
        TypeError: If ``t`` has the wrong type.
        ValueError: If it is no sequence of ordered times.
    """
    times = _ordinary_times(t)
    if times is None:
        times = _other_times(t)
    elif not t.requires_grad and forward_ad._current_level < 0 and device == t.device:
        return times.tensor(t.dtype, device), times
    # A copy: what is solved and differentiated later is to have the times as they are now.
    own = t.clone()
    if own.device != device:
        notices.warn(f"t is on {own.device} and y0 on {device}; t is moved there")
        own = own.to(device)
    return own if times.direction > 0 else -own, times


def _ordinary_times(t: Any) -> OutputTimes | None:
    """Times in a plain tensor, remembered from earlier solves; None of others."""
    if not is_plain(t) or t.dtype not in _DTYPES or t.ndim != 1 or t.numel() > _MOST_NUMBERS_KEPT:
        return None
    # By all their bits: zeros of both signs are different times.
    values = t.tolist()
    key = array("d", values).tobytes()
    times = _kept.get(key)
    if times is None:
        times = _checked(values)
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        _kept[key] = times
    return times


def _other_times(t: Any) -> OutputTimes:
    if not isinstance(t, Tensor):
        raise TypeError(f"t must be a one-dimensional floating-point tensor, got {type(t).__name__}")
    if not t.is_floating_point():
        raise TypeError(f"t must have a floating-point dtype, got {t.dtype}")
    check_dense("t", t)
    if t.dim() != 1:
        raise ValueError(f"t must be one-dimensional, got shape {tuple(t.shape)}")
    return _checked(as_floats(t.clone()))


def _checked(values: list[float]) -> OutputTimes:
    if not values:
        raise ValueError("t must hold at least one time, got none")
    direction = -1.0 if len(values) > 1 and values[0] > values[1] else 1.0
    times = values if direction > 0 else [-x for x in values]
    # Of ordered times only the ends can be infinite, and NaN is in no order.
    ordered = all(map(lt, times, islice(times, 1, None)))
    if not (ordered and math.isfinite(values[0]) and math.isfinite(values[-1])):
        for i, x in enumerate(values):
            if not math.isfinite(x):
                raise ValueError(f"t must be finite, got t[{i}] = {x}")
        i = next(i for i, (a, b) in enumerate(pairwise(times)) if not a < b)
        raise ValueError(
            f"t must be strictly increasing or strictly decreasing, got t[{i}] = {values[i]} and "
            f"t[{i + 1}] = {values[i + 1]}"
        )
    return OutputTimes(direction, tuple(times))
