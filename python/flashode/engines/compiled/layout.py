"""How the state, and what belongs to its trajectories, lie in the memory that the compiled module reads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from flashode.engines.failure import Culprit
from flashode.state import Structure


class Layout:
    """A state as segments one after the other, each a contiguous ``(batch, rows)`` block: its components.

    Attributes:
        batch: Trajectories.
        segments: Rows of each segment; each counts by itself in error norms.
    """

    def __init__(self, structure: Structure, batched: bool) -> None:
        """Lays out a state.

        Args:
            structure: Of the state.
            batched: Whether its front axis counts trajectories; if not, it is one.
        """
        self.batch = structure.shapes[0][0] if batched else 1
        self._shapes = structure.shapes
        self.segments = [size // self.batch for shape in structure.shapes if (size := shape.numel())]

    def culprit(self, trajectory: int, row: int) -> Culprit | None:
        """The place of a value that is not finite in the user's state, or None if it lies outside of that.

        Args:
            trajectory: Which one, negative where it is not known.
            row: Of all segments' rows; those of its adjoint follow, then the gradient in the context.
        """
        width = sum(self.segments)
        if trajectory < 0 or row >= 2 * width:
            return None
        row %= width
        for component, shape in enumerate(self._shapes):
            rows = shape.numel() // self.batch
            if row < rows:
                element = torch.tensor(trajectory * rows + row, device="cpu")
                index = tuple(int(i) for i in torch.unravel_index(element, shape)[:-1])
                return Culprit(component, index or None)
            row -= rows
        return None


def context(carried: Sequence[Tensor]) -> Tensor:
    """What belongs to each trajectory, ``(batch, rows)``, of tensors ``(batch, ...)``."""
    return torch.cat([tensor.reshape(len(tensor), -1) for tensor in carried], 1)


def context_ranges(carried: Sequence[Tensor]) -> list[tuple[int, int]]:
    """The rows of each of the tensors in their :func:`context`: the first, and the first after it."""
    ends = list(accumulate(tensor[0].numel() for tensor in carried))
    return list(zip([0, *ends], ends, strict=False))
