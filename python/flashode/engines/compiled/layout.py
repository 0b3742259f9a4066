"""How the state, and what its trajectories carry along, lie in the memory that the compiled module reads.

It is segments one after the other, each a contiguous ``(batch, rows)`` block: first the components of the
state, which so are the flat state itself, then the tensors carried along, which the solve leaves as they are
and which have no part in error norms. Solutions and the gradients in them are the state's segments alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashode.engines.failure import Culprit
from flashode.memory import plain
from flashode.state import Structure


class Layout:
    """The memory of one solve.

    Attributes:
        batch: Trajectories.
        carried: What its trajectories carry along.
        segments: Rows of each segment, and whether it counts in error norms.
    """

    def __init__(self, structure: Structure, batched: bool, carried: Sequence[Tensor]) -> None:
        """Lays out a state.

        Args:
            structure: Of the state.
            batched: Whether its front axis counts trajectories; if not, it is one.
            carried: Tensors of shape ``(batch, ...)``.
        """
        self.batch = structure.shapes[0][0] if batched else 1
        self._shapes = structure.shapes
        sizes = [shape.numel() for shape in structure.shapes]
        self.segments = [(size // self.batch, True) for size in sizes if size]
        self._size = sum(sizes)
        self.carried = tuple(carried)
        self._flat = [c.detach().reshape(-1) for c in carried]
        if carried:
            self.segments += [(c.numel() // self.batch, False) for c in self._flat]

    def memory(self, y: Tensor, carried: Tensor | None = None) -> Tensor:
        """Memory that holds a state and what is carried: the state's own where that can be.

        Args:
            y: The state.
            carried: What was carried, as :meth:`tail` gave it; None takes it as it is now.
        """
        state = plain(y)
        if not self._flat:
            return state
        return torch.cat([state.reshape(-1), *(self._flat if carried is None else (carried,))])

    def tail(self, memory: Tensor) -> Tensor | None:
        """What such memory holds of what is carried; None where nothing is."""
        return memory[self._size :] if self._flat else None

    def empty(self, like: Tensor) -> Tensor:
        """Memory for as much; shaped like the state if nothing is carried."""
        if not self._flat:
            return like.new_empty(like.shape)
        return like.new_empty(self._size + sum(map(len, self._flat)))

    def like_parameters(self, wanted: Sequence[bool]) -> list[bool]:
        """For each segment, whether it is one of the tensors carried whose gradient is wanted."""
        return [*[False] * (len(self.segments) - len(self.carried)), *wanted]

    def state(self, memory: Tensor, like: Tensor) -> Tensor:
        """The state, or the gradient in it, that such memory holds."""
        return memory[: self._size].reshape(like.shape) if self._flat else memory

    def carried_gradients(self, memory: Tensor) -> tuple[Tensor | None, ...]:
        """Of the gradients in such memory those in the tensors carried; None where one needs no gradient."""
        if not self._flat:
            return ()
        parts = torch.split(memory[self._size :], list(map(len, self._flat)))
        pairs = zip(self.carried, parts, strict=True)
        return tuple(part.reshape(c.shape) if c.requires_grad else None for c, part in pairs)

    def culprit(self, trajectory: int, row: int) -> Culprit | None:
        """Where a value of the state is that is not finite, or None if it is none of the state's.

        Args:
            trajectory: Which one, negative where it is not known.
            row: Of all segments' rows; those of its adjoint follow.
        """
        if trajectory < 0:
            return None
        row %= sum(rows for rows, _ in self.segments)
        for component, shape in enumerate(self._shapes):
            rows = shape.numel() // self.batch
            if row < rows:
                element = torch.tensor(trajectory * rows + row)
                index = tuple(int(i) for i in torch.unravel_index(element, shape)[:-1])
                return Culprit(component, index or None)
            row -= rows
        return None
