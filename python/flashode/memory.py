"""Tensors as memory that the compiled module reads by address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

import torch
from torch import Tensor, nn

from flashode.dispatch import is_wrapped, tracer

_PLAIN_TYPES = (Tensor, nn.Parameter)


def plain(tensor: Tensor) -> Tensor:
    """The tensor's values as contiguous memory, detached from any graph."""
    return readable(tensor.detach() if tensor.requires_grad else tensor)


def readable(tensor: Tensor) -> Tensor:
    """The tensor's values as contiguous memory: the tensor itself where it is, else a copy."""
    # Asking is faster than a call that changes nothing.
    if tensor.is_contiguous() and not (tensor.is_neg() or tensor._is_zerotensor()):
        return tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def dense(gradient: Tensor) -> Tensor:
    """A gradient in a dense layout; autograd hands on sparse ones as they are."""
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def address(tensor: Tensor | None) -> int:
    """The address of a contiguous tensor's first element; 0 for none.

    Raises:
        RuntimeError: It has elements and they are nowhere.
    """
    if tensor is None:
        return 0
    pointer = tensor.data_ptr()
    if not pointer and tensor.numel():
        raise RuntimeError(f"a tensor of shape {tuple(tensor.shape)} that a solve reads has no memory")
    return pointer


def check_memory(name: str, tensors: Iterable[Tensor]) -> None:
    """Checks that dense tensors have their memory, which torch and kernels read without a check.

    Args:
        name: What the user calls them.
        tensors: The tensors.

    Raises:
        RuntimeError: It was freed, as by ``untyped_storage().resize_()``.
    """
    for tensor in tensors:
        if not has_memory(tensor):
            held = tensor.untyped_storage().nbytes()
            raise RuntimeError(
                f"{name} of shape {tuple(tensor.shape)} has lost its memory: it needs {_end(tensor)} bytes, "
                f"its storage holds {held}; untyped_storage().resize_() frees what a solve still reads"
            )


def has_memory(tensor: Tensor) -> bool:
    """Whether a dense tensor has all of its memory; others have none that could be freed."""
    try:
        held = tensor.untyped_storage().nbytes()
    except RuntimeError:  # it has no storage: it is sparse, or stands for another one
        return True
    # Asking a contiguous tensor takes half the time.
    if tensor.is_contiguous():
        return held >= tensor.nbytes + tensor.storage_offset() * tensor.itemsize
    # A tracer would record that the shape is asked for.
    if not _is_strided(tensor) or tracer() is not None or not tensor.numel():
        return True
    return held >= _end(tensor)


def is_plain(tensor: object) -> TypeGuard[Tensor]:
    """Whether it is an ordinary tensor, on the CPU or a GPU, whose numbers can be read as they lie there."""
    if type(tensor) not in _PLAIN_TYPES:
        return False
    assert isinstance(tensor, Tensor)
    if not (tensor.is_cpu or tensor.is_cuda) or tensor.layout is not torch.strided or is_wrapped(tensor):
        return False
    return not (tensor.is_neg() or tensor._is_zerotensor()) and has_memory(tensor)


def _end(tensor: Tensor) -> int:
    """The bytes of its storage up to the end of its last element."""
    extent = tensor.storage_offset() + 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        extent += (size - 1) * stride
    return int(extent * tensor.element_size())


# Shape, dtype and device of a tensor that is saved for a backward pass.
Kind = tuple[torch.Size, torch.dtype, torch.device]


def kind_of(tensor: Tensor) -> Kind:
    """The kind of a tensor."""
    return tensor.shape, tensor.dtype, tensor.device


def check_saved(tensor: Tensor | None, kind: Kind | None) -> None:
    """Checks that a tensor from autograd is of the kind that was saved, and has its memory.

    Args:
        tensor: The tensor that autograd returns.
        kind: Of the tensor that was saved, or None.

    Raises:
        RuntimeError: It is of another kind: a hook has replaced it.
    """
    if tensor is None and kind is None:
        return
    # A nested tensor has no shape to ask for.
    back = kind_of(tensor) if tensor is not None and _is_strided(tensor) else None
    if tensor is None or back is None or back != kind:
        got = "one that is not dense" if tensor is not None and back is None else _shown(back)
        raise RuntimeError(
            f"a tensor came back from autograd as another one: {_shown(kind)} was saved, {got} came "
            "back; unpack hooks of torch.autograd.graph.saved_tensors_hooks must return what was packed"
        )
    check_memory("a tensor that was saved for the backward pass", (tensor,))


def _shown(kind: Kind | None) -> str:
    return "nothing" if kind is None else f"{tuple(kind[0])}, {kind[1]} on {kind[2]}"


def _is_strided(tensor: Tensor) -> bool:
    return tensor.layout is torch.strided and not tensor.is_nested
