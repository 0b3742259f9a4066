"""What a tensor of the function's holds, and putting it back after a call has changed it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor


class Content:
    """The memory that a tensor names and what autograd keeps with it, as they are now.

    Its numbers are not copied: who writes into them is found out, and has to be kept from it by others.
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        # Another name of the same memory, which thereby is not freed and used again.
        self._memory = tensor.data
        self._version = tensor._version
        self._tracked = tensor.requires_grad
        self._gradient = tensor.grad if tensor.is_leaf else None

    def restored(self) -> Iterator[str]:
        """Puts back what has been changed since, as far as that is possible; says what it was."""
        tensor = self._tensor
        moved = _place(tensor) != _place(self._memory)
        if moved:
            tensor.data = self._memory
            yield "it puts other memory behind a tensor that it owns"
        if tensor.requires_grad is not self._tracked:
            tensor.requires_grad_(self._tracked)
            yield "it changes requires_grad of a tensor that it owns"
        if tensor.is_leaf and tensor.grad is not self._gradient:
            tensor.grad = self._gradient
            yield "it changes the .grad of a tensor that it owns"
        if tensor._version != self._version:
            yield "it changes a tensor that it owns in place"


def _place(tensor: Tensor) -> Any:
    """What tells the memory that a tensor names from any other."""
    memory = tensor.untyped_storage()._cdata
    return memory, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
