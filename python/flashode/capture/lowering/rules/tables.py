"""Searches among knots, and rows of tables at indices that depend on t or y."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand
from flashode.capture.lowering.rules.integers import EXACT, is_integer
from flashode.capture.refusal import Computed, Mixing, Typed, Unsupported

_OWN = "gather rows with torch.gather or take_along_dim, or index with torch.arange(len(y)) beside the other"


def _bucketize(low: Lowering, call: Call) -> View:
    return _searched(low, call, call["boundaries"], call.number("right") != 0.0)


def _searchsorted(low: Lowering, call: Call) -> View:
    if call["sorter"] is not None:
        raise Unsupported(
            "searchsorted with a sorter is not supported", remedy="sort the knots before the solve"
        )
    right = call.number("right") != 0.0 or call["side"] == "right"
    return _searched(low, call, call["sorted_sequence"], right)


def _searched(low: Lowering, call: Call, knots: View, right: bool) -> View:
    x = operand(low, call, "self")
    for each in (x, knots):
        _require_exact(low, each)
    shape = x.positions.shape
    # A search has no gradient anyway.
    numbers, among = low.program.undetached(x.rows), low.program.undetached(knots.rows)
    if knots.positions.ndim == 1:
        if knots.axis is not None:
            raise Mixing(f"{call.name} searches among trajectories")
        grouped = numbers.reshape(1, -1)
    else:
        aligned = knots.axis == x.axis or knots.axis is None
        if not aligned or knots.axis == knots.positions.ndim - 1:
            raise Mixing(f"{call.name} joins a batch axis with another axis")
        grouped = numbers.reshape(math.prod(shape[:-1]), -1)
    rows = among.reshape(len(grouped), -1)
    if not rows.size:
        raise Unsupported(f"{call.name} among no knots at all is not supported")
    searched: Rows | int = rows
    if low.program.is_static(rows):
        searched = low.parameter(low.register(among, knots.dtype))
    counts = low.program.bucketize(grouped, searched, right)
    return low.new(counts.reshape(shape), x.axis, call.dtypes[0])


def _require_exact(low: Lowering, x: View) -> None:
    """Refuses numbers that rows of the state's dtype do not hold."""
    if is_integer(x.dtype):
        exact = low.bounds(x).within(-EXACT[low.dtype], EXACT[low.dtype])
    else:
        exact = torch.promote_types(x.dtype, low.dtype) == low.dtype
    if not exact:
        raise Typed(f"it looks up {x.dtype}, which {low.dtype} does not hold exactly")


def _named(low: Lowering, call: Call, index: View, size: int, wraps: bool) -> View:
    """An index as the number of a row, from zero."""
    bounds, first = low.bounds(index), float(-size if wraps else 0)
    if not bounds.within(first, size - 1):
        low.require(low.compared("le", low.constant(first), index))
        low.require(low.compared("lt", index, float(size)))
    if bounds.least >= 0.0 or not wraps:
        return index
    return low.select(low.compared("lt", index, 0.0), low.add(index, low.constant(float(size))), index)


def _table(low: Lowering, x: View, rows: Rows) -> tuple[Rows, int | None]:
    """Rows of a table, the axis that is indexed first; or a parameter, and which of its elements they are."""
    _require_exact(low, x)
    if len(rows) > EXACT[low.dtype]:
        raise Typed(f"it looks up one of {len(rows)} rows, whose numbers {low.dtype} does not hold exactly")
    if not low.program.is_static(rows):
        return rows, None
    parameter = low.program.parameter_behind(rows)
    if parameter is not None and low.program.stride(rows) is not None:
        begin = low.program.parameter(parameter).flat[0]
        return rows - begin, parameter
    parameter = low.parameter(low.register(rows, x.dtype))
    return np.arange(rows.size).reshape(rows.shape), parameter


def looked_up(low: Lowering, call: Call, x: View, indices: Sequence[View | None], wraps: bool = True) -> View:
    """``x`` at index tensors, of which some are computed."""
    dims = [dim for dim, index in enumerate(indices) if index is not None]
    chosen = low.broadcast(*[index for index in indices if index is not None])
    if any(index.dtype == torch.bool for index in chosen):
        raise Computed(f"{call.name} with a mask that is computed is not supported")
    own = [bool(low.program.is_own(index.rows).all()) for index in chosen]
    if any(low.program.is_own(x.rows).any() != is_own for x, is_own in zip(chosen, own, strict=True)):
        raise Mixing(f"{call.name} joins the numbers of trajectories with others")
    axis, shape = chosen[0].axis, chosen[0].positions.shape
    _require_apart(call, x, dims, axis, own)
    numbers = [
        (_named(low, call, index, x.positions.shape[dim], wraps), x.positions.shape[dim])
        for dim, index, is_own in zip(dims, chosen, own, strict=True)
        if not is_own
    ]
    index, count = numbers[0]
    for other, size in numbers[1:]:
        index, count = low.add(low.scaled(index, float(size)), other), count * size
    others = [dim for dim in range(x.positions.ndim) if dim not in dims]
    moved = x.rows.transpose([*dims, *others])
    rest = moved.shape[len(dims) :]
    table, parameter = _table(low, x, moved.reshape(count, 1, -1))
    named, inverse = np.unique(index.rows, return_inverse=True)
    table = np.broadcast_to(table, (count, len(named), table.shape[-1]))
    rows = low.program.lookup(named, table, parameter)[inverse.ravel()].reshape(*shape, *rest)
    # Where the indices stand side by side, theirs is the place of the dimensions that they make.
    first = dims[0] if dims == list(range(dims[0], dims[-1] + 1)) else 0
    made = len(shape)
    order = [*range(made, made + first), *range(made), *range(made + first, rows.ndim)]
    if axis is not None:
        place = order.index(axis)
    else:
        place = -1 if x.axis is None else order.index(made + others.index(x.axis))
    return low.new(rows.transpose(order), None if place < 0 else place, x.dtype)


def _require_apart(call: Call, x: View, dims: Sequence[int], axis: int | None, own: Sequence[bool]) -> None:
    """Refuses what picks other trajectories' rows."""
    if any(own):
        if (
            x.axis is None
            or [dim for dim, is_own in zip(dims, own, strict=True) if is_own] != [x.axis]
            or all(own)
        ):
            raise Mixing(f"{call.name} picks by the numbers of trajectories", remedy=_OWN)
        if x.positions.shape[x.axis] != 1:
            raise Mixing(f"{call.name} acts on the batch axis")
    elif x.axis in dims:
        raise Mixing(f"{call.name} acts on the batch axis", remedy=_OWN)
    elif x.axis is not None and axis is not None:
        raise Mixing(f"{call.name} picks rows of every trajectory for each of them", remedy=_OWN)


def gathered(low: Lowering, call: Call) -> View:
    """The element along a dimension that a computed index names, for each of its own elements."""
    x, index = call["self"], call["index"]
    if not index.positions.ndim or not x.positions.ndim:
        raise Unsupported(f"{call.name} of a 0-d tensor is not supported", remedy="index with x[..., i]")
    dim = call.dim(x)
    if x.axis != index.axis:
        raise Mixing(
            f"{call.name} picks from the batch axis", remedy="expand() the table to all trajectories"
        )
    within = [slice(None) if d == dim else slice(size) for d, size in enumerate(index.positions.shape)]
    named = np.moveaxis(_named(low, call, index, x.positions.shape[dim], False).rows, dim, 0)
    table, parameter = _table(low, x, np.moveaxis(x.rows[tuple(within)], dim, 0))
    count = len(table)
    table = np.broadcast_to(table[:, None], (count, *named.shape)).reshape(count, named.size, 1)
    rows = low.program.lookup(named.ravel(), table, parameter).reshape(named.shape)
    return low.new(np.moveaxis(rows, 0, dim), index.axis, x.dtype)


def selected(low: Lowering, call: Call) -> View:
    """index_select at computed indices."""
    x: View = call["self"]
    dim, index = call.dim(x), call["index"]
    flat = index.showing(index.positions.reshape(-1), index.axis)
    return looked_up(low, call, x, [*[None] * dim, flat], wraps=False)


def _embedding(low: Lowering, call: Call) -> View:
    if call.number("padding_idx") >= 0 or call.number("scale_grad_by_freq") or call.number("sparse"):
        what = "embedding with padding_idx, scale_grad_by_freq or sparse gradients is not supported"
        raise Unsupported(what, remedy="index the weight: weight[i]")
    return looked_up(low, call, call["weight"], [call["indices"]], wraps=False)


def _arange(low: Lowering, call: Call) -> View:
    """The numbers of trajectories, which are of use as an index alone."""
    start, step = call.arguments.get("start", 0), call.arguments.get("step", 1)
    if call.axis != 0 or call.shape != (1,) or start != 0 or step != 1 or not is_integer(call.dtypes[0]):
        raise Mixing(f"{call.name} uses the batch size as a number")
    return low.new(low.program.own(), 0, call.dtypes[0])


TABLES: dict[str, Rule] = {
    "bucketize": _bucketize,
    "searchsorted": _searchsorted,
    "embedding": _embedding,
    "arange": _arange,
}
