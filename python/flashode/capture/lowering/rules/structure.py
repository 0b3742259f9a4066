"""Operations that move elements without computing: views, joins, picks and copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.comparisons import converted
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.refusal import Mixing, Refusal, Unsupported
from flashode.capture.tracing.pairing import Batch


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


def _without_gradient(low: Lowering, call: Call) -> View:
    return low.without_gradient(call["self"])


def _reshape(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    axis = call.axis
    if (axis is None) != (x.axis is None):
        raise Mixing(f"{call.name} makes or loses a batch axis")
    shown = x.showing(x.positions.reshape(call.shape), axis)
    if axis is None or x.axis is None:
        return shown
    # As many blocks of elements lie before those of one trajectory as did before.
    before = math.prod(x.positions.shape[: x.axis]) * x.outer
    outer, rest = divmod(before, math.prod(call.shape[:axis]) or 1)
    if rest or not outer or call.shape[axis] % outer:
        raise Mixing(f"{call.name} merges the batch axis with an axis before it")
    return replace(shown, outer=outer)


def _expand(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return x.showing(np.broadcast_to(x.positions, call.shape), call.axis)


def _select(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = call.dim(x)
    return x.showing(_taken(x.positions, int(call.number("index")), dim), call.axis)


def _slice(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = int(call.number("dim")) % x.positions.ndim
    if dim == x.axis:
        if call["step"] != 1 or call.shapes[0][dim] != x.shape[dim]:
            raise Mixing("slice acts on the batch axis")
        return x
    ends = (None if call[name] is None else int(call.number(name)) for name in ("start", "end", "step"))
    return x.showing(x.positions[(*((slice(None),) * dim), slice(*ends))], x.axis)


def _pieces(sizes: Callable[[Call, int], Sequence[int]]) -> Rule:
    """A rule that cuts along a dimension."""

    def rule(low: Lowering, call: Call) -> list[View]:
        x: View = call["self"]
        dim = call.dim(x)
        cuts = np.cumsum(sizes(call, x.positions.shape[dim]))[:-1]
        return [x.showing(piece, x.axis) for piece in np.split(x.positions, cuts, dim)]

    return rule


def _split_sizes(call: Call, length: int) -> Sequence[int]:
    size = int(call.number("split_size"))
    return [min(size, length - start) for start in range(0, length, size)]


def _given_sizes(call: Call, length: int) -> Sequence[int]:
    if any(isinstance(size, Batch) for size in call["split_sizes"]):
        raise Mixing(f"{call.name} uses the batch size as a number")
    return [int(size) for size in call["split_sizes"]]


def _unbind(low: Lowering, call: Call) -> list[View]:
    x: View = call["self"]
    dim = call.dim(x)
    axis = x.axis if x.axis is None or x.axis < dim else x.axis - 1
    return [x.showing(_taken(x.positions, i, dim), axis) for i in range(x.positions.shape[dim])]


def _cat(low: Lowering, call: Call) -> View:
    parts: Sequence[View] = [part for part in call["tensors"] if part.positions.shape != (0,)]
    dim = int(call.number("dim")) % len(call.shape)
    if dim == call.axis:
        raise Mixing("cat acts on the batch axis")
    if any(part.axis != call.axis for part in parts):
        raise Mixing("cat joins a batch axis with another axis")
    rows = [converted(low, part, call.dtypes[0]).rows for part in parts]
    return low.new(np.concatenate(rows, dim), call.axis, call.dtypes[0])


def _stack(low: Lowering, call: Call) -> View:
    parts: Sequence[View] = call["tensors"]
    dim = int(call.number("dim")) % len(call.shape)
    if any(part.axis != parts[0].axis for part in parts):
        raise Mixing("stack joins a batch axis with another axis")
    rows = [converted(low, part, call.dtypes[0]).rows for part in parts]
    return low.new(np.stack(rows, dim), call.axis, call.dtypes[0])


def _flip(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return low.new(np.flip(x.rows, call.dims(x, "dims") if call["dims"] else ()), x.axis, x.dtype)


def _rot90(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    first, second = call.dims(x, "dims")
    turned = np.rot90(x.rows, int(call.number("k")), (first, second))
    return low.new(turned, x.axis, x.dtype)


def _roll(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    if not call["dims"]:
        raise Unsupported("roll of a flattened tensor is not supported")
    dims = call.dims(x, "dims")
    return low.new(np.roll(x.rows, [int(shift) for shift in call["shifts"]], dims), x.axis, x.dtype)


def _repeat(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    repeats = call["repeats"]
    axis = None if x.axis is None else x.axis + len(repeats) - x.positions.ndim
    if axis is not None and repeats[axis] != 1:
        raise Mixing("repeat acts on the batch axis")
    counts = [r.multiple if isinstance(r, Batch) else int(r) for r in repeats]
    return low.new(np.tile(x.rows, counts), call.axis, x.dtype)


def _clone(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return low.new(x.rows, x.axis, call.dtypes[0])


def _copy(low: Lowering, call: Call) -> View:
    source, _ = low.broadcast(call["src"], call["self"])
    return converted(low, source, call.dtypes[0])


def write(low: Lowering, target: View, result: View) -> View:
    """Puts the result of an in-place operation into its target."""
    source, _ = low.broadcast(converted(low, result, target.dtype), target)
    if target.storage.shown is not None:
        raise Refusal(
            f"it writes into memory that aten.{target.storage.shown} shows",
            remedy="write into a clone() of it",
        )
    target.storage.content[target.positions] = source.rows
    return target


def _diagonal(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dims = [call.dim(x, name) for name in ("dim1", "dim2")]
    axis = None if x.axis is None else x.axis - sum(dim < x.axis for dim in dims)
    return x.showing(x.positions.diagonal(int(call.number("offset")), *dims), axis)


def _unfold(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = call.dim(x, "dimension")
    windows = np.lib.stride_tricks.sliding_window_view(x.positions, int(call.number("size")), dim)
    stepped = windows[(*((slice(None),) * dim), slice(None, None, int(call.number("step"))))]
    return x.showing(stepped, x.axis)


RESHAPES = ("view", "_unsafe_view", "_reshape_alias", "squeeze", "unsqueeze")

STRUCTURE: dict[str, Rule] = {
    "t": _moved(_t_order),
    "transpose": _moved(_transpose_order),
    "permute": _moved(_permute_order),
    "alias": _same,
    # Autograd's own; that of the user is recorded as detach_copy.
    "detach": _same,
    "detach_copy": _without_gradient,
    "lift_fresh": _same,
    **dict.fromkeys(RESHAPES, _reshape),
    "expand": _expand,
    "select": _select,
    "slice": _slice,
    "split": _pieces(_split_sizes),
    "unsafe_split": _pieces(_split_sizes),
    "split_with_sizes": _pieces(_given_sizes),
    "unsafe_split_with_sizes": _pieces(_given_sizes),
    "unbind": _unbind,
    "diagonal": _diagonal,
    "unfold": _unfold,
    "cat": _cat,
    "stack": _stack,
    "flip": _flip,
    "roll": _roll,
    "rot90": _rot90,
    "repeat": _repeat,
    "clone": _clone,
    "copy": _copy,
}
