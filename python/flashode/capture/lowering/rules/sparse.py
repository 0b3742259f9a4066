"""Products with sparse matrices: the rows that a matrix joins, gathered, and summed up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Sparse, View
from flashode.capture.lowering.rules.products import added
from flashode.capture.refusal import Mixing, Typed, Unsupported


def sparse(low: Lowering, tensor: Tensor) -> Sparse:
    """A sparse tensor's content as literals."""
    if tensor.dtype != low.dtype:
        raise Typed(f"a sparse matrix of {tensor.dtype} is not supported")
    tensor = tensor.detach()
    if tensor.layout is torch.sparse_coo:
        row, column = tensor._indices().cpu().numpy()
        values = tensor._values()
    else:
        row = np.repeat(np.arange(tensor.shape[0]), np.diff(tensor.crow_indices().cpu().numpy()))
        column, values = tensor.col_indices().cpu().numpy(), tensor.values()
    elements = low.program.constant(values.double().cpu().numpy())
    return Sparse(row, column, elements, (tensor.shape[0], tensor.shape[1]))


def sparse_result(low: Lowering, call: Call) -> View | Sparse:
    """What an operation makes of a sparse matrix."""
    if call.name not in _RULES:
        raise Unsupported(
            f"aten.{call.name} of a sparse matrix is not supported",
            remedy="multiply by it (A @ x, torch.sparse.mm), or keep it dense (.to_dense())",
        )
    return _RULES[call.name](low, call)


def _product(low: Lowering, call: Call, a: View | Sparse, b: View | Sparse) -> View:
    if isinstance(a, Sparse) and isinstance(b, Sparse):
        raise Unsupported("a product of sparse matrices is not supported", remedy="form it before the solve")
    if isinstance(a, Sparse) and isinstance(b, View):
        return low.new(_summed(low, call, a, b, 0), call.axis)
    assert isinstance(a, View) and isinstance(b, Sparse)
    return low.new(_summed(low, call, b.transposed, a, 1).T, call.axis)


def _summed(low: Lowering, call: Call, matrix: Sparse, x: View, dim: int) -> Rows:
    """The matrix times a dense one, or its transpose where ``dim`` is 1; elements of none are no factors."""
    if x.axis == dim:
        raise Mixing(f"{call.name} sums over the batch")
    facing = x.rows.T if dim else x.rows
    taken = facing[matrix.column]
    values = np.broadcast_to(matrix.values.reshape(-1, *(1,) * (taken.ndim - 1)), taken.shape)
    terms = low.program.binary("mul", values, taken)
    targets = np.arange(matrix.size[0] * (taken[0].size or 1)).reshape(matrix.size[0], *taken.shape[1:])
    sums = low.program.segment_sum(terms.ravel(), targets[matrix.row].ravel(), targets.size)
    return sums.reshape(targets.shape)


def _mm(low: Lowering, call: Call) -> View:
    return _product(low, call, call["self"], call["mat2"])


def _mv(low: Lowering, call: Call) -> View:
    return _product(low, call, call["self"], call["vec"])


def _addmm(low: Lowering, call: Call) -> View:
    if isinstance(call["self"], Sparse):
        raise Unsupported("a sparse sum is not supported", remedy="add what is dense")
    return added(low, call, _product(low, call, call["mat1"], call["mat2"]))


def _transposed(low: Lowering, call: Call) -> Sparse:
    matrix: Sparse = call["self"]
    return matrix.transposed


_RULES: dict[str, Callable[[Lowering, Call], View | Sparse]] = {
    "mm": _mm,
    "mv": _mv,
    "addmm": _addmm,
    "_sparse_addmm": _addmm,
    "t": _transposed,
}
