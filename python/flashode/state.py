"""The structure of a state: a tensor or a tuple, as the user's function has it, and rows of trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

State = Tensor | tuple[Tensor, ...]

# The hint for a function whose result has another shape than the state.
ORDER_OF_ARGUMENTS = "are its arguments (t, y), in that order?"


def components(state: State) -> tuple[Tensor, ...]:
    """The tensors of a state."""
    return (state,) if isinstance(state, Tensor) else state


class Structure(NamedTuple):
    """A tensor, or a tuple of tensors.

    Attributes:
        shapes: Shapes of the components; one for a tensor.
        is_tuple: Whether the function takes and returns a tuple.
    """

    shapes: tuple[torch.Size, ...]
    is_tuple: bool

    @staticmethod
    def of(state: State) -> Structure:
        """The structure of a state."""
        if isinstance(state, Tensor):
            return Structure((state.shape,), False)
        return Structure(tuple(part.shape for part in state), True)

    @property
    def batch(self) -> int | None:
        """The size of the front axis, if it may count trajectories: all components share it.

        States of one axis have none: each such axis may hold features as well.
        """
        sizes = {shape[0] if shape else None for shape in self.shapes}
        if len(sizes) != 1 or max(map(len, self.shapes)) < 2:
            return None
        return sizes.pop()

    def differs_in_batch(self, other: Structure) -> bool:
        """Whether it is ``other`` with another batch size."""
        if self.batch is None or other.batch is None or self.is_tuple != other.is_tuple:
            return False
        return [shape[1:] for shape in self.shapes] == [shape[1:] for shape in other.shapes]

    def split(self, ys: Tensor) -> tuple[Tensor, ...]:
        """Views of the components of ``(*leading, elements)``, each of them ``(*leading, *shape)``."""
        # One by one: autograd forbids to change in place what torch.split returns.
        parts: list[Tensor] = []
        start = 0
        for shape in self.shapes:
            end = start + shape.numel()
            parts.append(ys[..., start:end].view(ys.shape[:-1] + shape))
            start = end
        return tuple(parts)

    def join(self, parts: Sequence[Tensor]) -> State:
        """The state as the function takes it: the tuple of its components, or the only one."""
        return tuple(parts) if self.is_tuple else parts[0]

    def to_rows(self, parts: Sequence[Tensor], batch: int) -> Tensor:
        """A row for each of ``batch`` trajectories, of all components' elements: ``(batch, width)``."""
        flat = [part.reshape(batch, part.numel() // batch) for part in parts]
        return flat[0] if len(flat) == 1 else torch.cat(flat, 1)

    def from_rows(self, rows: Tensor) -> tuple[Tensor, ...]:
        """The components of such rows."""
        parts: list[Tensor] = []
        start = 0
        for shape in self.shapes:
            width = shape.numel() // len(rows)
            parts.append(rows[:, start : start + width].reshape(shape))
            start += width
        return tuple(parts)

    def fit(self, out: Any, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The components of what the function returned, with the state's shapes and dtype.

        Leading axes of one element may be missing or added; in a tuple's components, such axes anywhere.

        Raises:
            TypeError: It is no tensor, or no tuple of tensors, as the state is.
            ValueError: It does not fit the state's shapes.
        """
        shapes = self.shapes
        if not self.is_tuple:
            return (_fit(out, shapes[0], dtype, ""),)
        if not isinstance(out, (tuple, list)):
            raise TypeError(
                f"func must return a tuple of {len(shapes)} tensors, as y0 is, got {type(out).__name__}"
            )
        if len(out) != len(shapes):
            raise ValueError(f"func must return a tuple of {len(shapes)} tensors, as y0 is, got {len(out)}")
        return tuple(
            _fit(part, shape, dtype, f" in component {i}")
            for i, (part, shape) in enumerate(zip(out, shapes, strict=True))
        )


def _fit(out: object, shape: torch.Size, dtype: torch.dtype, where: str) -> Tensor:
    if not isinstance(out, Tensor):
        raise TypeError(f"func must return a tensor shaped like y0{where}, got {type(out).__name__}")
    if out.dtype != dtype:
        if out.is_complex() and not dtype.is_complex:
            raise TypeError(f"func must return a real tensor for a real y0{where}, got {out.dtype}")
        out = out.to(dtype)
    if out.shape == shape:
        return out
    if _without_leading_ones(out.shape) == _without_leading_ones(shape):
        return out.reshape(shape)
    if where and [n for n in out.shape if n != 1] == [n for n in shape if n != 1]:
        # torchdiffeq only counts the elements of a tuple's components, and programs return (batch,) for
        # (batch, 1).
        return out.reshape(shape)
    raise ValueError(
        f"func must return a tensor of shape {tuple(shape)}{where}, as y0 has, got {tuple(out.shape)}; "
        f"{ORDER_OF_ARGUMENTS}"
    )


def broadcast(out: Tensor, shape: torch.Size) -> Tensor | None:
    """The tensor spread over a state of that shape, as a sum of the two spreads it; None if it cannot be."""
    try:
        return out.reshape(_without_leading_ones(out.shape)).expand(shape)
    except RuntimeError:
        return None


def _without_leading_ones(shape: torch.Size) -> torch.Size:
    return shape[next((i for i, n in enumerate(shape) if n != 1), len(shape)) :]
