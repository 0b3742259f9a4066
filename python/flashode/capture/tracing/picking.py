"""Rows picked by an index that is a tensor without dimensions, which torch would read as a Python number."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flashode.capture.tracing.recorder import Recorder

_INTEGERS = frozenset({torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64})


def is_number(index: Any, recorder: Recorder) -> bool:
    """Whether it is such a tensor, of those that differ from solve to solve."""
    return (
        isinstance(index, Tensor)
        and index.dtype in _INTEGERS
        and index.dim() == 0
        and (recorder.depends(index) or recorder.owns(index))
    )


def at_index(recorder: Recorder, x: Tensor, index: Any) -> Any:
    """``x[index]`` with an operation in the place of each number that is read; None where there is none.

    Torch takes numbers before it takes tensors, whichever stands first, and each takes its dimension away.
    """
    parts = list(index) if isinstance(index, tuple) else [index]
    if not any(is_number(part, recorder) for part in parts):
        return None
    consumed = [_consumed(part) for part in parts]
    if None in consumed:
        return None
    dims = [part for part in consumed if part is not None]
    unnamed = x.dim() - sum(dims)
    dim, places = 0, []
    for part, count in zip(parts, dims, strict=True):
        if is_number(part, recorder):
            places.append((dim, part))
        dim += unnamed if part is Ellipsis else count
    rest: Any = tuple(part for part in parts if not is_number(part, recorder))
    picked = x
    for dim, number in reversed(places):
        picked = select(recorder, picked, dim, number)
    plain = all(part is Ellipsis or (isinstance(part, slice) and part == slice(None)) for part in rest)
    return picked if plain else picked[rest]


def select(recorder: Recorder, x: Tensor, dim: int, number: Tensor) -> Tensor:
    """``x.select(dim, number)``, which shows memory of x: to write into either is refused from here on."""
    dim = dim % x.dim()
    index: Any = (*[slice(None)] * dim, number.reshape(1))
    picked: Tensor = x[index].squeeze(dim)
    recorder.copied(x, picked)
    return picked


def _consumed(part: Any) -> int | None:
    """How many dimensions a part of an index stands for; None where it is of another kind."""
    if part is None or part is Ellipsis:
        return 0
    if isinstance(part, bool):
        return None
    if isinstance(part, Tensor):
        if part.dtype == torch.bool:
            return part.dim() or None
        return 1
    return 1 if isinstance(part, (int, slice, list)) else None
