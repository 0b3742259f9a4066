"""Matrix products: with a parameter from either side, and of two computed matrices."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.refusal import Mixing


def product(low: Lowering, a: View, b: View, bias: View | None = None) -> Rows:
    """Rows of ``a @ b`` for ``a`` (…, M, K) and ``b`` (…, K, N) with equal leading dimensions."""
    if a.axis == a.positions.ndim - 1 or b.axis == b.positions.ndim - 2:
        raise Mixing("a matrix product sums over the batch")
    left, right = a.rows, b.rows
    if low.program.fills(left) or low.program.fills(right):
        shape = (*left.shape[:-1], right.shape[-1])
        return low.program.nothing(shape) if bias is None else np.broadcast_to(bias.rows, shape)
    if bias is None and low.program.is_static(left) and low.program.is_static(right):
        return _static_product(low, left, right)
    if _shared(right) and low.program.is_static(right):
        matrix = right.reshape(-1, *right.shape[-2:])[0]
        dense = _dense(low, left.reshape(-1, left.shape[-1]), matrix, bias)
        return dense.reshape(*left.shape[:-1], right.shape[-1])
    if _shared(left) and low.program.is_static(left):
        matrix = left.reshape(-1, *left.shape[-2:])[0]
        columns = np.swapaxes(right, -1, -2)
        dense = _dense(low, columns.reshape(-1, columns.shape[-1]), matrix.T, None)
        return np.swapaxes(dense.reshape(*columns.shape[:-1], left.shape[-2]), -1, -2)
    return _computed_product(low, left, right)


def _shared(rows: Rows) -> bool:
    """Whether a stack of matrices is one matrix, repeated."""
    matrices = rows.reshape(-1, *rows.shape[-2:])
    return bool((matrices == matrices[0]).all())


def _static_product(low: Lowering, left: Rows, right: Rows) -> Rows:
    """A product of parameters alone, made by torch once for each solve."""
    literals = low.program.literal(left), low.program.literal(right)
    if literals[0] is not None and literals[1] is not None:
        return low.program.constant(literals[0] @ literals[1])
    registers = [low.register(rows, low.dtype) for rows in (left, right)]
    shape, dtype = (*left.shape[:-1], right.shape[-1]), low.dtype

    def multiplied(a: Tensor, b: Tensor) -> Tensor:
        return a.to(dtype) @ b.to(dtype)

    register = low.prologue.apply(multiplied, registers, shape, "matmul", "matmul")
    return low.program.parameter(low.parameter(register))


def _computed_product(low: Lowering, left: Rows, right: Rows) -> Rows:
    """A product of computed matrices; matrices that repeat are handed to all that they multiply at once."""
    shape = (*left.shape[:-1], right.shape[-1])
    if left.shape[-1] == 1:
        return low.program.binary("mul", *np.broadcast_arrays(left, right))
    columns = np.swapaxes(right, -1, -2)
    if _shared(right):
        matrix = columns.reshape(-1, *columns.shape[-2:])[:1]
        return low.program.dense_dynamic(left.reshape(1, -1, left.shape[-1]), matrix).reshape(shape)
    if _shared(left):
        # What differs is one tall matrix, which multiplies the rows that all have in common.
        vectors = left.reshape(-1, *left.shape[-2:])[:1]
        tall = low.program.dense_dynamic(vectors, columns.reshape(1, -1, columns.shape[-1]))
        return np.moveaxis(tall.reshape(vectors.shape[1], *columns.shape[:-1]), 0, -2)
    stacks = (rows.reshape(-1, *rows.shape[-2:]) for rows in (left, columns))
    return low.program.dense_dynamic(*stacks).reshape(shape)


def _dense(low: Lowering, x: Rows, matrix: Rows, bias: View | None) -> Rows:
    """``x @ matrix`` for a static matrix (in, out)."""
    weight = low.parameter(low.register(matrix.T, low.dtype))
    if bias is None:
        return low.program.dense(x, weight, None)
    return low.program.dense(x, weight, low.parameter(low.register(bias.rows, low.dtype)))


def _stacked(name: str) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        return low.new(product(low, call["self"], call[name]), call.axis)

    return rule


def _addmm(low: Lowering, call: Call) -> View:
    bias, a, b = call["self"], call["mat1"], call["mat2"]
    plain = call.number("alpha") == call.number("beta") == 1.0
    fits = low.is_static(bias) and bias.positions.shape == call.shape[-1:]
    if plain and fits and b.axis is None and low.is_static(b):
        return low.new(product(low, a, b, bias), call.axis)
    return added(low, call, low.new(product(low, a, b), call.axis))


def added(low: Lowering, call: Call, result: View) -> View:
    """``beta * self + alpha * result``; a beta of zero leaves ``self`` out, whatever it holds."""
    scaled = low.scaled(result, call.number("alpha"))
    if call.number("beta") == 0.0:
        return low.spread(scaled, call["self"])
    return low.add(low.scaled(call["self"], call.number("beta")), scaled)


def _baddbmm(low: Lowering, call: Call) -> View:
    return added(low, call, low.new(product(low, call["batch1"], call["batch2"]), call.axis))


def _addbmm(low: Lowering, call: Call) -> View:
    a, b = call["batch1"], call["batch2"]
    axis = None if call.axis is None else call.axis + 1
    if a.axis == 0 or b.axis == 0:
        raise Mixing("addbmm sums over the batch")
    return added(low, call, low.sum(low.new(product(low, a, b), axis), (0,)))


def _column(x: View) -> View:
    return x.showing(x.positions[:, None], x.axis)


def _mv(low: Lowering, call: Call, matrix: str = "self") -> View:
    return low.new(product(low, call[matrix], _column(call["vec"]))[:, 0], call.axis)


def _addr(low: Lowering, call: Call) -> View:
    column, row = call["vec1"], call["vec2"]
    row = row.showing(row.positions[None, :], None if row.axis is None else 1)
    return added(low, call, low.mul(_column(column), row))


def _linalg_cross(low: Lowering, call: Call) -> View:
    a, b = low.broadcast(call["self"], call["other"])
    dim = call.dim(a)

    def turned(x: View, order: tuple[int, ...]) -> View:
        return x.showing(x.positions.take(order, dim), x.axis)

    ahead, behind = (1, 2, 0), (2, 0, 1)
    return low.sub(low.mul(turned(a, ahead), turned(b, behind)), low.mul(turned(a, behind), turned(b, ahead)))


def _trilinear(low: Lowering, call: Call) -> View:
    """The product of three tensors in a common shape, summed over dimensions."""
    parts = []
    for name, expanded in (("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")):
        x: View = call[name]
        axis, positions = x.axis, x.positions
        for dim in sorted(call[expanded]):
            positions = np.expand_dims(positions, dim)
            axis = axis + 1 if axis is not None and dim <= axis else axis
        parts.append(x.showing(positions, axis))
    static = [x for x in parts if low.is_static(x)]
    computed = [x for x in parts if not low.is_static(x)]
    dims = tuple(call["sumdim"])
    if len(static) == 1 and (contracted := _contracted(low, low.mul(*computed), static[0], dims)) is not None:
        return contracted
    return low.sum(low.mul(low.mul(parts[0], parts[1]), parts[2]), dims)


def _contracted(low: Lowering, x: View, weight: View, dims: tuple[int, ...]) -> View | None:
    """``(x * weight).sum(dims)`` as one product with a matrix; None where it is none."""
    kept = [dim for dim in range(x.positions.ndim) if dim not in dims]
    sizes, features = (np.array(part.positions.shape) for part in (x, weight))
    if (sizes[list(dims)] != features[list(dims)]).any() or (np.minimum(sizes, features)[kept] != 1).any():
        return None
    vectors, axis = low.grouped(x, dims)
    matrix, _ = low.grouped(weight, dims)
    inner = vectors.shape[-1]
    flat = product(low, low.new(vectors.reshape(-1, inner), None), low.new(matrix.reshape(-1, inner).T, None))
    # Where one tensor is of length one along a dimension that stays, the other one is spread along it.
    mine = [position for position, dim in enumerate(kept) if sizes[dim] != 1]
    theirs = [position for position, dim in enumerate(kept) if sizes[dim] == 1]
    order = np.argsort([*mine, *theirs])
    result = flat.reshape([*(sizes[kept][mine]), *(features[kept][theirs])]).transpose(order)
    return low.new(result, axis)


PRODUCTS: dict[str, Rule] = {
    "mm": _stacked("mat2"),
    "bmm": _stacked("mat2"),
    "addmm": _addmm,
    "baddbmm": _baddbmm,
    "addbmm": _addbmm,
    "mv": _mv,
    "addmv": lambda low, call: added(low, call, _mv(low, call, "mat")),
    **dict.fromkeys(["dot", "vdot"], lambda low, call: low.sum(low.mul(call["self"], call["tensor"]), [0])),
    "addr": _addr,
    "linalg_cross": _linalg_cross,
    "_trilinear": _trilinear,
}
