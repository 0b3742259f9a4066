"""Operations that move elements without computing: views, joins, picks and copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from flashode.capture.pairing import Batch
from flashode.capture.refusal import Refusal
from flashode.capture.rows import Rows
from flashode.capture.rules.context import Call, Lowering, Rule, View


def _dim(call: Call, x: View, name: str = "dim") -> int:
    dim = int(call.number(name)) % x.positions.ndim
    if dim == x.axis:
        raise Refusal(f"{call.name} acts on the batch axis")
    return dim


def _taken(positions: Rows, index: int, dim: int) -> Rows:
    taken: Rows = np.asarray(positions.take(index, dim))
    return taken


def _moved(reorder: Callable[[Call, View], Sequence[int]]) -> Rule:
    """A rule that reorders dimensions."""

    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        order = reorder(call, x)
        axis = None if x.axis is None else list(order).index(x.axis)
        return x.showing(x.positions.transpose(order), axis)

    return rule


def _transpose_order(call: Call, x: View) -> Sequence[int]:
    order = list(range(x.positions.ndim))
    a, b = (int(call.number(name)) for name in ("dim0", "dim1"))
    order[a], order[b] = order[b], order[a]
    return order


def _permute_order(call: Call, x: View) -> Sequence[int]:
    return [int(dim) % x.positions.ndim for dim in call["dims"]]


def _t_order(call: Call, x: View) -> Sequence[int]:
    return list(range(x.positions.ndim))[::-1]


def _same(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return x


def _reshape(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    axis = call.axis
    if (axis is None) != (x.axis is None):
        raise Refusal(f"{call.name} makes or loses a batch axis")
    # The elements of one trajectory stay together only if the same number of blocks lies before them.
    before, after = x.positions.shape[: x.axis or 0], call.shape[: axis or 0]
    if math.prod(before) != math.prod(after):
        raise Refusal(f"{call.name} merges the batch axis with an axis before it")
    return x.showing(x.positions.reshape(call.shape), axis)


def _expand(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return x.showing(np.broadcast_to(x.positions, call.shape), call.axis)


def _select(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = _dim(call, x)
    return x.showing(_taken(x.positions, int(call.number("index")), dim), call.axis)


def _slice(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = int(call.number("dim")) % x.positions.ndim
    if dim == x.axis:
        if call["step"] != 1 or call.shapes[0][dim] != x.shape[dim]:
            raise Refusal("slice acts on the batch axis")
        return x
    ends = (None if call[name] is None else int(call.number(name)) for name in ("start", "end", "step"))
    return x.showing(x.positions[(*((slice(None),) * dim), slice(*ends))], x.axis)


def _pieces(sizes: Callable[[Call, int], Sequence[int]]) -> Rule:
    """A rule that cuts along a dimension."""

    def rule(low: Lowering, call: Call) -> list[View]:
        x: View = call["self"]
        dim = _dim(call, x)
        cuts = np.cumsum(sizes(call, x.positions.shape[dim]))[:-1]
        return [x.showing(piece, x.axis) for piece in np.split(x.positions, cuts, dim)]

    return rule


def _split_sizes(call: Call, length: int) -> Sequence[int]:
    size = int(call.number("split_size"))
    return [min(size, length - start) for start in range(0, length, size)]


def _given_sizes(call: Call, length: int) -> Sequence[int]:
    if any(isinstance(size, Batch) for size in call["split_sizes"]):
        raise Refusal(f"{call.name} uses the batch size as a number")
    return [int(size) for size in call["split_sizes"]]


def _unbind(low: Lowering, call: Call) -> list[View]:
    x: View = call["self"]
    dim = _dim(call, x)
    axis = x.axis if x.axis is None or x.axis < dim else x.axis - 1
    return [x.showing(_taken(x.positions, i, dim), axis) for i in range(x.positions.shape[dim])]


def _cat(low: Lowering, call: Call) -> View:
    parts: Sequence[View] = [part for part in call["tensors"] if part.positions.shape != (0,)]
    dim = int(call.number("dim")) % len(call.shape)
    if dim == call.axis:
        raise Refusal("cat acts on the batch axis")
    if any(part.axis != call.axis for part in parts):
        raise Refusal("cat joins a batch axis with another axis")
    return low.new(np.concatenate([part.rows for part in parts], dim), call.axis)


def _stack(low: Lowering, call: Call) -> View:
    parts: Sequence[View] = call["tensors"]
    dim = int(call.number("dim")) % len(call.shape)
    if any(part.axis != parts[0].axis for part in parts):
        raise Refusal("stack joins a batch axis with another axis")
    return low.new(np.stack([part.rows for part in parts], dim), call.axis)


def _flip(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dims = [int(dim) % x.positions.ndim for dim in call["dims"]]
    if x.axis in dims:
        raise Refusal("flip acts on the batch axis")
    return low.new(np.flip(x.rows, tuple(dims)), x.axis)


def _roll(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dims = [int(dim) % x.positions.ndim for dim in call["dims"]]
    if x.axis in dims or not dims:
        raise Refusal("roll acts on the batch axis")
    return low.new(np.roll(x.rows, [int(shift) for shift in call["shifts"]], dims), x.axis)


def _repeat(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    repeats = call["repeats"]
    axis = None if x.axis is None else x.axis + len(repeats) - x.positions.ndim
    if axis is not None and repeats[axis] != 1:
        raise Refusal("repeat acts on the batch axis")
    counts = [r.multiple if isinstance(r, Batch) else int(r) for r in repeats]
    return low.new(np.tile(x.rows, counts), call.axis)


def _index_of(low: Lowering, indices: Sequence[Any], x: View) -> tuple[Any, ...]:
    """Literal index tensors as numpy's; the batch axis must not be among the indexed ones."""
    result: list[Any] = []
    for dim, index in enumerate(indices):
        if index is None:
            result.append(slice(None))
            continue
        literal = low.program.literal(index.rows)
        if literal is None or index.dtype not in (torch.int64, torch.int32, torch.bool):
            raise Refusal("it indexes with a tensor that is not made of literals")
        if dim == x.axis or (index.dtype == torch.bool and index.positions.ndim > 1):
            raise Refusal("it indexes the batch axis")
        result.append(literal.astype(bool if index.dtype == torch.bool else np.int64))
    return tuple(result)


def _index(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return low.new(x.rows[_index_of(low, call["indices"], x)], call.axis)


def _index_select(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = _dim(call, x)
    index = _index_of(low, [*([None] * dim), call["index"]], x)
    return low.new(x.rows[index], x.axis)


def _clone(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return low.new(x.rows, x.axis, call.dtypes[0])


def _written(low: Lowering, target: View, positions: Rows, source: View) -> View:
    if source.dtype != target.dtype and not low.is_static(source):
        raise Refusal("it mixes dtypes")
    rows: Rows = np.broadcast_to(source.rows, positions.shape)
    target.storage.content[positions] = rows
    return target


def _copy(low: Lowering, call: Call) -> View:
    target: View = call["self"]
    source, _ = low.broadcast(call["src"], target)
    return _written(low, target, target.positions, source)


def _index_put(low: Lowering, call: Call) -> View:
    target: View = call["self"]
    if call["accumulate"]:
        raise Refusal("index_put with accumulate is not supported")
    positions = target.positions[_index_of(low, call["indices"], target)]
    values: View = call["values"]
    # A batch axis must face the target's own; the two agree on it only from the right.
    if values.axis is not None and target.axis is not None:
        if positions.shape[: target.axis] != target.positions.shape[: target.axis]:
            raise Refusal("index_put with this index is not supported")
        if values.axis - values.positions.ndim != target.axis - positions.ndim:
            raise Refusal("index_put joins a batch axis with another axis")
    return _written(low, target, positions, values)


def write(low: Lowering, target: View, result: View) -> View:
    """Puts the result of an in-place operation into its target."""
    source, _ = low.broadcast(result, target)
    return _written(low, target, target.positions, source)


STRUCTURE: dict[str, Rule] = {
    "t": _moved(_t_order),
    "transpose": _moved(_transpose_order),
    "permute": _moved(_permute_order),
    "alias": _same,
    # A detach that matters changes gradients; the comparison with autograd that ends a capture finds it.
    "detach": _same,
    "lift_fresh": _same,
    "view": _reshape,
    "_unsafe_view": _reshape,
    "_reshape_alias": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "expand": _expand,
    "select": _select,
    "slice": _slice,
    "split": _pieces(_split_sizes),
    "split_with_sizes": _pieces(_given_sizes),
    "unbind": _unbind,
    "cat": _cat,
    "stack": _stack,
    "flip": _flip,
    "roll": _roll,
    "repeat": _repeat,
    "index": _index,
    "index_select": _index_select,
    "clone": _clone,
    "_to_copy": _clone,
    "copy": _copy,
    "index_put": _index_put,
}
