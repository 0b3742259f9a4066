"""Operations that move elements without computing: views, joins, picks and copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.comparisons import converted
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View, at
from flashode.capture.refusal import Mixing, Refusal, Unsupported
from flashode.capture.tracing.traced import Batch


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
    return x.showing(np.asarray(x.positions.take(int(call.number("index")), call.dim(x))), call.axis)


def slice_of(call: Call) -> slice:
    """What a call takes along a dimension."""
    ends = (None if call[name] is None else int(call.number(name)) for name in ("start", "end", "step"))
    return slice(*ends)


def _slice(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = int(call.number("dim")) % x.positions.ndim
    if dim == x.axis:
        if call["step"] != 1 or call.shapes[0][dim] != x.shape[dim]:
            raise Mixing("slice acts on the batch axis")
        return x
    return x.showing(x.positions[at(dim, slice_of(call))], x.axis)


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
    parts = np.moveaxis(x.positions, dim, 0)
    return [x.showing(parts[i, ...], axis) for i in range(len(parts))]


def _joined(join: Callable[[list[Rows], int], Rows]) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        parts: Sequence[View] = [part for part in call["tensors"] if part.positions.shape != (0,)]
        dim = int(call.number("dim")) % len(call.shape)
        if dim == call.axis:
            raise Mixing(f"{call.name} acts on the batch axis")
        if any(part.axis != parts[0].axis for part in parts):
            raise Mixing(f"{call.name} joins a batch axis with another axis")
        rows = [converted(low, part, call.dtypes[0]).rows for part in parts]
        return low.new(join(rows, dim), call.axis, call.dtypes[0])

    return rule


def _rearranged(rearrange: Callable[[Call, Rows, tuple[int, ...]], Rows]) -> Rule:
    """A rule that moves elements along dimensions, none of which is the batch axis."""

    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        dims = call.dims(x, "dims") if call["dims"] else ()
        return low.new(rearrange(call, x.rows, dims), x.axis, x.dtype)

    return rule


def _flip(call: Call, rows: Rows, dims: tuple[int, ...]) -> Rows:
    return np.flip(rows, dims)


def _rot90(call: Call, rows: Rows, dims: tuple[int, ...]) -> Rows:
    first, second = dims
    return np.rot90(rows, int(call.number("k")), (first, second))


def _roll(call: Call, rows: Rows, dims: tuple[int, ...]) -> Rows:
    if not dims:
        raise Unsupported("roll of a flattened tensor is not supported")
    return np.roll(rows, [int(shift) for shift in call["shifts"]], dims)


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


def windows(call: Call, positions: Rows, dim: int) -> Rows:
    """The windows along a dimension, each in a last dimension."""
    every = np.lib.stride_tricks.sliding_window_view(positions, int(call.number("size")), dim)
    stepped: Rows = every[at(dim, slice(None, None, int(call.number("step"))))]
    return stepped


def _unfold(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    return x.showing(windows(call, x.positions, call.dim(x, "dimension")), x.axis)


RESHAPES = ("view", "_unsafe_view", "_reshape_alias", "squeeze", "unsqueeze")

STRUCTURE: dict[str, Rule] = {
    "t": _moved(lambda call, x: range(x.positions.ndim)[::-1]),
    "transpose": _moved(_transpose_order),
    "permute": _moved(lambda call, x: [int(dim) % x.positions.ndim for dim in call["dims"]]),
    # Autograd's own detach; that of the user is recorded as detach_copy.
    **dict.fromkeys(["alias", "detach", "lift_fresh"], lambda low, call: call["self"]),
    "detach_copy": lambda low, call: low.without_gradient(call["self"]),
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
    "cat": _joined(np.concatenate),
    "stack": _joined(np.stack),
    "flip": _rearranged(_flip),
    "roll": _rearranged(_roll),
    "rot90": _rearranged(_rot90),
    "repeat": _repeat,
    "clone": _clone,
    "copy": _copy,
}
