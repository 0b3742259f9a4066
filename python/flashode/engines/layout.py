"""How the state, and what its trajectories carry along, lie in the memory that the compiled module reads.

A state is its segments one after the other, each a contiguous ``(batch, rows)`` block: first the components
of the state, which so are the flat state itself, then the tensors carried along, which the solve leaves as
they are and which have no part in error norms.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

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
        sizes = [shape.numel() for shape in structure.shapes]
        self.segments = [(size // self.batch, True) for size in sizes if size]
        self._size = sum(sizes)
        self.carried = tuple(carried)
        self._flat = [c.detach().reshape(-1) for c in carried]
        if carried:
            self.segments += [(c.numel() // self.batch, False) for c in self._flat]

    def state(self, y: Tensor) -> Tensor:
        """Memory that holds a state and what is carried: the state's own where that can be."""
        state = plain(y)
        return torch.cat([state.reshape(-1), *self._flat]) if self._flat else state

    def states(self, ys: Tensor) -> Tensor:
        """The same for states of shape ``(times, *state)``."""
        if not self._flat:
            return plain(ys)
        carried = [c.expand(len(ys), -1) for c in self._flat]
        return torch.cat([plain(ys).reshape(len(ys), -1), *carried], 1)

    def cotangents(self, gradients: Tensor) -> Tensor:
        """The same for gradients in states; nothing reaches the carried tensors from outside."""
        if not self._flat:
            return plain(gradients)
        rows = gradients.new_zeros(len(gradients), self._size + sum(map(len, self._flat)))
        rows[:, : self._size] = gradients.reshape(len(gradients), -1)
        return rows

    def empty(self, like: Tensor, *times: int) -> Tensor:
        """Memory for one state, or for one at each of ``times``; shaped like them if nothing is carried."""
        if not self._flat:
            return like.new_empty((*times, *like.shape))
        return like.new_empty((*times, self._size + sum(map(len, self._flat))))

    def like_parameters(self, wanted: Sequence[bool]) -> list[bool]:
        """For each segment, whether it is one of the tensors carried whose gradient is wanted."""
        return [*[False] * (len(self.segments) - len(self.carried)), *wanted]

    def cut(self, memory: Tensor, like: Tensor) -> Tensor:
        """The states, or the gradients in them, that such memory holds."""
        if not self._flat:
            return memory
        return memory[..., : self._size].reshape(*memory.shape[:-1], *like.shape)

    def carried_gradients(self, memory: Tensor) -> tuple[Tensor | None, ...]:
        """Of one state's gradients, those in the tensors carried; None where one does not require grad."""
        if not self._flat:
            return ()
        parts = torch.split(memory[self._size :], list(map(len, self._flat)))
        pairs = zip(self.carried, parts, strict=True)
        return tuple(part.reshape(c.shape) if c.requires_grad else None for c, part in pairs)


def plain(tensor: Tensor) -> Tensor:
    """The tensor's values as memory that can be read from its address on."""
    return tensor.detach().resolve_neg().contiguous()
