"""Sparse matrices that a function owns: held to what they are, rather than read afresh at each solve."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashode.capture.guards.walk import Walk

# Elements of the largest one, all of which are compared at each solve.
MAX_ELEMENTS = 1 << 16


def holdable(tensor: Tensor) -> bool:
    """Whether it is a sparse matrix of a kind whose content can be compared, and none that is learned."""
    if tensor.layout not in (torch.sparse_coo, torch.sparse_csr) or tensor.requires_grad or tensor.__dict__:
        return False
    plain = tensor.ndim == 2 and not tensor.dense_dim() and not tensor.is_inference()
    return plain and tensor._nnz() <= MAX_ELEMENTS


class Content:
    """What a sparse matrix is and holds, copied."""

    def __init__(self, tensor: Tensor) -> None:
        self._kind = _kind(tensor)
        self._parts = [part.clone() for part in _parts(tensor)]

    def same(self, tensor: Tensor) -> bool:
        """Whether a tensor is of the same kind and holds the same bits."""
        if type(tensor) is not Tensor or tensor.__dict__ or _kind(tensor) != self._kind:
            return False
        return all(map(_equal, _parts(tensor), self._parts))


def _kind(tensor: Tensor) -> tuple[object, ...]:
    coalesced = tensor.layout is torch.sparse_coo and tensor.is_coalesced()
    kind = (
        tensor.dtype,
        tensor.layout,
        tensor.device,
        tensor.shape,
        tensor.requires_grad,
        tensor.is_inference(),
    )
    return (*kind, coalesced)


def _parts(tensor: Tensor) -> Sequence[Tensor]:
    detached = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        return detached._indices(), detached._values()
    return detached.crow_indices(), detached.col_indices(), detached.values()


def bytes_of(tensor: Tensor) -> int:
    """The bytes of a tensor's elements, sparse or not."""
    return tensor.nbytes if tensor.layout is torch.strided else sum(part.nbytes for part in _parts(tensor))


def _equal(a: Tensor, b: Tensor) -> bool:
    # By their bits: 0.0 equals -0.0, and NaN does not equal itself.
    return a.shape == b.shape and torch.equal(_bits(a), _bits(b))


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(torch.uint8)


def matrix(walk: Walk, expression: str, tensor: Tensor) -> None:
    """Adds the checks for a sparse matrix."""
    variable = walk.seen(expression, tensor)
    if variable is not None:
        walk.code.holds(f"{walk.code.constant(Content(tensor).same)}({variable})")
        walk.watched.constants.add(id(tensor))
