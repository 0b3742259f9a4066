"""Reductions over features: sums, products, extremes, moments, norms and running totals."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.comparisons import truth
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View, batch_axis, per_trajectory
from flashode.capture.lowering.rules.products import product
from flashode.capture.refusal import Mixing, Refusal, Unsupported

Join = Callable[[View, View], View]


def shaped(call: Call, x: View, result: int = 0) -> View:
    """A reduced tensor in the shape of one of the call's results, whether dimensions are kept or not."""
    shape = call.shapes[result]
    return View(x.storage, x.positions.reshape(per_trajectory(shape)), batch_axis(shape), call.dtypes[result])


def _over(reduce: Callable[[Lowering, View, tuple[int, ...]], View]) -> Rule:
    """The rule for an operation that reduces dimensions, which disappear or are kept."""

    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        return shaped(call, reduce(low, x, call.dims(x)))

    return rule


def folded(low: Lowering, x: View, dims: tuple[int, ...], join: Join) -> View:
    """All elements along ``dims``, which disappear, joined with their neighbours, in order."""
    rows, axis = low.grouped(x, dims)
    while (length := rows.shape[-1]) > 1:
        paired = length // 2 * 2
        a, b = (low.new(rows[..., start:paired:2], axis, x.dtype) for start in (0, 1))
        rows = np.concatenate([join(a, b).rows, rows[..., paired:]], -1)
    return low.new(rows[..., 0], axis, x.dtype)


def keep_dims(x: View, reduced: View, dims: tuple[int, ...]) -> View:
    """A reduced tensor with the dimensions of ``x`` again, of length one where it was reduced."""
    return reduced.showing(np.expand_dims(reduced.positions, dims), x.axis)


def extreme(low: Lowering, x: View, dims: tuple[int, ...], fn: str) -> View:
    """The largest or smallest along ``dims``, which disappear, without a gradient."""
    return folded(low, low.without_gradient(x), dims, partial(low.binary, fn))


def _shared_extreme(low: Lowering, x: View, dims: tuple[int, ...], fn: str) -> View:
    """The same with a gradient, which elements that tie share."""
    if _count(x, dims) <= 2 or not x.dtype.is_floating_point:
        return folded(low, x, dims, partial(low.binary, fn))
    bound = extreme(low, x, dims, fn)
    level = keep_dims(x, bound, dims)
    ties, infinite = low.compared("eq", x, level), low.compared("eq", low.unary("abs", bound), math.inf)

    distances = low.select(keep_dims(x, infinite, dims), x, low.sub(level, x))
    shared = low.div(low.sum(low.select(ties, distances, low.constant(0.0)), dims), low.sum(ties, dims))
    # The mean of ties has the gradient, but is rounded. That of their distances from the extreme is zero.
    return low.select(infinite, shared, low.sub(bound, shared))


def _extreme(fn: str) -> Rule:
    """max and min: of two tensors, of all elements, or along a dimension, the first of equal ones."""

    def rule(low: Lowering, call: Call) -> View | list[View]:
        x: View = call["self"]
        if isinstance(call.arguments.get("other"), View):
            return low.binary(fn, x, call["other"])
        if "dim" not in call.arguments:
            return shaped(call, _shared_extreme(low, x, call.dims(x), fn))

        def first(a: View, b: View) -> View:
            wins = (a, b) if fn == "maximum" else (b, a)
            return low.select(low.either(low.compared("lt", *wins), low.compared("ne", b, b)), b, a)

        return [shaped(call, folded(low, x, (call.dim(x),), first))]

    return rule


def total(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    """The sum over ``dims``, which disappear; a matrix product where it is one that was written out."""
    grouped, axis = low.grouped(x, dims)
    sums = grouped.reshape(-1, grouped.shape[-1])
    factors = low.program.shared_factor(sums) if min(sums.shape) > 1 else None
    if factors is None:
        return low.sum(x, dims)
    vector, matrix = (low.new(rows, None) for rows in factors)
    result = product(
        low, vector.showing(vector.positions[None], None), matrix.showing(matrix.positions.T, None)
    )
    return low.new(result.reshape(grouped.shape[:-1]), axis)


def mean(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    """The mean over ``dims``, which disappear."""
    return low.averaged(total(low, x, dims), _count(x, dims))


def _count(x: View, dims: tuple[int, ...]) -> int:
    return math.prod(x.positions.shape[dim] for dim in dims)


def _nonzero(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    return low.sum(truth(low, x), dims)


def _any(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    return low.compared("ne", _nonzero(low, x, dims), 0.0)


def _all(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    return low.compared("eq", low.sum(low.inverted(truth(low, x)), dims), 0.0)


def _product(low: Lowering, x: View, dims: tuple[int, ...]) -> View:
    return folded(low, x, dims, low.mul)


def moments(
    low: Lowering, x: View, dims: tuple[int, ...], correction: float, deviation: bool = False
) -> tuple[View, View]:
    """Variance, or its root, and mean over ``dims``, which disappear."""
    count = _count(x, dims)
    if count <= correction:
        raise Refusal("a variance of so few elements is not a number", remedy="take it of more elements")
    center = mean(low, x, dims)
    offset, size = low.sub(x, keep_dims(x, center, dims)), None
    if deviation and low.dtype != torch.float64:
        # Torch squares in double precision. Squares of numbers up to one neither overflow nor vanish.
        size = extreme(low, low.unary("abs", offset), dims, "maximum")
        unscaled = low.either(low.compared("eq", size, 0.0), low.compared("eq", size, math.inf))
        size = low.select(unscaled, low.constant(1.0), size)
        offset = low.div(offset, keep_dims(x, size, dims))
    variance = low.averaged(low.sum(low.mul(offset, offset), dims), count - correction)
    if not deviation:
        return variance, center
    return root(low, variance) if size is None else low.mul(size, root(low, variance)), center


def root(low: Lowering, x: View, exponent: float = 0.5) -> View:
    """A root whose gradient at zero is zero, which is torch's convention for norms and deviations."""
    origin = low.compared("eq", x, 0.0)
    inside = low.select(origin, low.constant(1.0), x)
    raised = low.unary("sqrt", inside) if exponent == 0.5 else low.unary("power", inside, exponent)
    return low.select(origin, low.constant(0.0), raised)


def _variance(deviation: bool, with_mean: bool) -> Rule:
    def rule(low: Lowering, call: Call) -> View | list[View]:
        x: View = call["self"]
        if "correction" not in call.arguments:
            correction = call.number("unbiased")
        else:
            correction = 1.0 if call["correction"] is None else call.number("correction")
        spread, center = moments(low, x, call.dims(x), correction, deviation)
        spread = shaped(call, spread)
        return [spread, shaped(call, center, 1)] if with_mean else spread

    return rule


def norm(low: Lowering, x: View, order: float, dims: tuple[int, ...]) -> View:
    """The norm of some order over ``dims``, which disappear; its gradient at zero is zero."""
    if order == 2.0:
        return root(low, low.sum(low.mul(x, x), dims))
    size = low.unary("abs", x)
    if order == 1.0:
        return low.sum(size, dims)
    if math.isinf(order):
        return _shared_extreme(low, size, dims, "maximum" if order > 0 else "minimum")
    if order == 0.0:
        return low.sum(low.compared("ne", x, 0.0), dims)
    if order < 0.0:
        raise Unsupported(f"a norm of order {order:g} is not supported")
    return root(low, low.sum(root(low, size, order), dims), 1.0 / order)


def _norm(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    name = "ord" if "ord" in call.arguments else "p"
    order = 2.0 if call[name] is None else call.number(name)
    return shaped(call, norm(low, x, order, call.dims(x)))


def _distances(low: Lowering, call: Call) -> View:
    """The distances between all pairs of rows."""
    a, b = call["x1"], call["x2"]
    last = a.positions.ndim - 1
    if a.axis == last or b.axis == last:
        raise Mixing("cdist acts on the batch axis")
    column, row = (_inserted(x, dim) for x, dim in ((a, last), (b, last - 1)))
    return norm(low, low.sub(column, row), call.number("p"), (last + 1,))


def _inserted(x: View, dim: int) -> View:
    axis = x.axis if x.axis is None or x.axis < dim else x.axis + 1
    return x.showing(np.expand_dims(x.positions, dim), axis)


def _running(join: Callable[[Lowering, View, View], View]) -> Rule:
    """Running totals by doubling: after each round an element holds twice as many before it."""

    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        dim = call.dim(x)
        rows: Rows = np.moveaxis(x.rows, dim, -1) if x.positions.ndim else x.rows[None]
        reach = 1
        while reach < rows.shape[-1]:
            later, earlier = low.new(rows[..., reach:], None), low.new(rows[..., :-reach], None)
            rows = np.concatenate([rows[..., :reach], join(low, later, earlier).rows], -1)
            reach *= 2
        return low.new(np.moveaxis(rows, -1, dim).reshape(call.shape), call.axis, call.dtypes[0])

    return rule


REDUCTIONS: dict[str, Rule] = {
    "sum": _over(total),
    "mean": _over(mean),
    "count_nonzero": _over(_nonzero),
    "any": _over(_any),
    "all": _over(_all),
    "prod": _over(_product),
    "amax": _over(partial(_shared_extreme, fn="maximum")),
    "amin": _over(partial(_shared_extreme, fn="minimum")),
    "max": _extreme("maximum"),
    "min": _extreme("minimum"),
    "var": _variance(deviation=False, with_mean=False),
    "std": _variance(deviation=True, with_mean=False),
    "var_mean": _variance(deviation=False, with_mean=True),
    "std_mean": _variance(deviation=True, with_mean=True),
    "linalg_vector_norm": _norm,
    "norm": _norm,
    "_cdist_forward": _distances,
    "cumsum": _running(Lowering.add),
    "cumprod": _running(Lowering.mul),
}
