"""Reductions over features, matrix products, and tensors filled with one number."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from flashode.capture.refusal import Refusal
from flashode.capture.rows import Rows
from flashode.capture.rules.context import Call, Lowering, Rule, View

MAX_PRODUCTS = 1 << 16


def _reduced_dims(call: Call, x: View) -> Sequence[int]:
    given = call.arguments.get("dim")
    if given is None or (isinstance(given, list) and not given):
        return range(x.positions.ndim)
    return [int(dim) % x.positions.ndim for dim in (given if isinstance(given, list) else [given])]


def _sum(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dims = _reduced_dims(call, x)
    summed = low.sum(x, dims)
    return summed.showing(summed.positions.reshape(call.shape), call.axis)


def _mean(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    count = math.prod(x.positions.shape[dim] for dim in _reduced_dims(call, x))
    return low.scaled(_sum(low, call), 1.0 / count)


def _linalg_cross(low: Lowering, call: Call) -> View:
    a, b = low.broadcast(call["self"], call["other"])
    dim = int(call.number("dim")) % a.positions.ndim
    if dim in (a.axis, b.axis):
        raise Refusal("linalg_cross acts on the batch axis")

    def turned(x: View, order: Sequence[int]) -> View:
        return x.showing(x.positions.take(order, dim), x.axis)

    ahead, behind = (1, 2, 0), (2, 0, 1)
    return low.sub(low.mul(turned(a, ahead), turned(b, behind)), low.mul(turned(a, behind), turned(b, ahead)))


def _product(low: Lowering, a: View, b: View, bias: View | None = None) -> Rows:
    """Rows of ``a @ b`` for ``a`` (…, M, K) and ``b`` (…, K, N) with equal leading dimensions."""
    if a.axis == a.positions.ndim - 1 or b.axis == b.positions.ndim - 2:
        raise Refusal("a matrix product sums over the batch")
    left, right = a.rows, b.rows
    if _shared_static(low, b, right):
        matrix = right.reshape(-1, *right.shape[-2:])[0]
        dense = _dense(low, left.reshape(-1, left.shape[-1]), matrix, bias)
        return dense.reshape(*left.shape[:-1], right.shape[-1])
    if _shared_static(low, a, left):
        matrix = left.reshape(-1, *left.shape[-2:])[0]
        columns = np.swapaxes(right, -1, -2)
        dense = _dense(low, columns.reshape(-1, columns.shape[-1]), matrix.T, None)
        return np.swapaxes(dense.reshape(*columns.shape[:-1], left.shape[-2]), -1, -2)
    shape = (*left.shape[:-1], right.shape[-1], left.shape[-1])
    if math.prod(shape) > MAX_PRODUCTS:
        raise Refusal(f"a product of two computed matrices takes more than {MAX_PRODUCTS} multiplications")
    factors = np.broadcast_arrays(left[..., :, None, :], np.swapaxes(right, -1, -2)[..., None, :, :])
    return low.program.sum_last(low.program.binary("mul", factors[0], factors[1]))


def _shared_static(low: Lowering, x: View, rows: Rows) -> bool:
    """Whether a stack of matrices is one static matrix, repeated."""
    if x.axis is not None and x.axis >= x.positions.ndim - 2:
        return False
    matrices = rows.reshape(-1, *rows.shape[-2:])
    return low.program.is_static(rows) and bool((matrices == matrices[0]).all())


def _dense(low: Lowering, x: Rows, matrix: Rows, bias: View | None) -> Rows:
    """``x @ matrix`` for a static matrix (in, out)."""
    weight = low.parameter(low.register(matrix.T, low.dtype))
    if bias is None:
        return low.program.dense(x, weight, None)
    return low.program.dense(x, weight, low.parameter(low.register(bias.rows, low.dtype)))


def _mm(low: Lowering, call: Call) -> View:
    return low.new(_product(low, call["self"], call["mat2"]), call.axis)


def _addmm(low: Lowering, call: Call) -> View:
    bias, a, b = call["self"], call["mat1"], call["mat2"]
    plain = call.number("alpha") == call.number("beta") == 1.0
    fits = low.is_static(bias) and bias.positions.shape == call.shape[-1:]
    if plain and fits and _shared_static(low, b, b.rows):
        return low.new(_product(low, a, b, bias), call.axis)
    product = low.new(_product(low, a, b), call.axis)
    return low.add(low.scaled(bias, call.number("beta")), low.scaled(product, call.number("alpha")))


def _bmm(low: Lowering, call: Call) -> View:
    return low.new(_product(low, call["self"], call["mat2"]), call.axis)


def _baddbmm(low: Lowering, call: Call) -> View:
    product = low.new(_product(low, call["batch1"], call["batch2"]), call.axis)
    return low.add(low.scaled(call["self"], call.number("beta")), low.scaled(product, call.number("alpha")))


def _column(x: View) -> View:
    return x.showing(x.positions[:, None], x.axis)


def _mv(low: Lowering, call: Call) -> View:
    return low.new(_product(low, call["self"], _column(call["vec"]))[:, 0], call.axis)


def _addmv(low: Lowering, call: Call) -> View:
    product = low.new(_product(low, call["mat"], _column(call["vec"]))[:, 0], call.axis)
    return low.add(low.scaled(call["self"], call.number("beta")), low.scaled(product, call.number("alpha")))


def _dot(low: Lowering, call: Call) -> View:
    return low.sum(low.mul(call["self"], call["tensor"]), [0])


def _filled(number: Callable[[Call], float]) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        rows = low.program.constant(np.array(number(call)))
        return low.new(np.broadcast_to(rows, call.shape), call.axis, call.dtypes[0])

    return rule


def _zero(call: Call) -> float:
    return 0.0


def _one(call: Call) -> float:
    return 1.0


def _fill_number(call: Call) -> float:
    return call.number("fill_value")


def _fill(low: Lowering, call: Call) -> View:
    value = call["value"]
    x = value if isinstance(value, View) else low.constant(call.number("value"))
    return x.showing(np.broadcast_to(x.positions, call.shape), call.axis)


# Tensors full of one number, of which only the shape depends on other tensors.
FILLED: dict[str, Rule] = {
    **{name: _filled(_zero) for name in ("zeros", "zeros_like", "new_zeros")},
    # Uninitialised memory holds nothing to repeat; zeros are as good as anything.
    **{name: _filled(_zero) for name in ("empty", "empty_like", "new_empty")},
    **{name: _filled(_one) for name in ("ones", "ones_like", "new_ones")},
    **{name: _filled(_fill_number) for name in ("full", "full_like", "new_full")},
}

LINEAR: dict[str, Rule] = {
    "sum": _sum,
    "mean": _mean,
    "linalg_cross": _linalg_cross,
    "mm": _mm,
    "addmm": _addmm,
    "bmm": _bmm,
    "baddbmm": _baddbmm,
    "mv": _mv,
    "addmv": _addmv,
    "dot": _dot,
    "fill": _fill,
    "zero": _filled(_zero),
}
