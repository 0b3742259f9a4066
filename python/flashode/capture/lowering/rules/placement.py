"""Tensors of zeros, or of one number, with another tensor at a place of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.indexing import placed
from flashode.capture.refusal import Mixing


def _filled(low: Lowering, call: Call, number: float = 0.0) -> View:
    rows = np.broadcast_to(low.program.constant(np.array(number)), call.shape)
    return low.new(rows, call.axis, call.dtypes[0])


def _place(dim: int, index: Any) -> tuple[Any, ...]:
    return (*((slice(None),) * dim), index)


def _positive(call: Call, name: str = "dim") -> int:
    dim = int(call.number(name)) % len(call.shape)
    if dim == call.axis:
        raise Mixing(f"{call.name} acts on the batch axis")
    return dim


def _slice_of(call: Call) -> slice:
    return slice(
        *(None if call[name] is None else int(call.number(name)) for name in ("start", "end", "step"))
    )


def _select_backward(low: Lowering, call: Call) -> View:
    place = _place(_positive(call), int(call.number("index")))
    return placed(low, _filled(low, call), place, call["grad_output"].rows)


def _slice_backward(low: Lowering, call: Call) -> View:
    gradient: View = call["grad_output"]
    if gradient.shape == call.shapes[0]:
        return gradient
    return placed(low, _filled(low, call), _place(_positive(call), _slice_of(call)), gradient.rows)


def _diagonal_place(low: Lowering, call: Call, shape: tuple[int, ...], dims: tuple[int, int]) -> Rows:
    """Which elements of a tensor of this shape are on its diagonal, the diagonal as the last dimension."""
    elements = np.arange(int(np.prod(shape))).reshape(shape)
    diagonal: Rows = elements.diagonal(int(call.number("offset")), *dims)
    return diagonal


def _on_diagonal(low: Lowering, call: Call, x: View) -> View:
    dims = _positive(call, "dim1"), _positive(call, "dim2")
    flat = low.new(_filled(low, call).rows.ravel(), None)
    place = _diagonal_place(low, call, call.shape, dims).ravel()
    rows = placed(low, flat, (place,), x.rows).rows
    return low.new(rows.reshape(call.shape), call.axis, call.dtypes[0])


def _diagonal_backward(low: Lowering, call: Call) -> View:
    return _on_diagonal(low, call, call["grad_output"])


def _diag_embed(low: Lowering, call: Call) -> View:
    return _on_diagonal(low, call, call["self"])


def _unfold_backward(low: Lowering, call: Call) -> View:
    dim = _positive(call)
    target = _filled(low, call)
    elements = np.arange(target.positions.size).reshape(target.positions.shape)
    windows = np.lib.stride_tricks.sliding_window_view(elements, int(call.number("size")), dim)
    place = windows[_place(dim, slice(None, None, int(call.number("step"))))]
    flat = low.new(target.rows.ravel(), None)
    rows = placed(low, flat, (place.ravel(),), call["grad_in"].rows, add=True).rows
    return low.new(rows.reshape(call.shape), call.axis)


def _select_scatter(low: Lowering, call: Call) -> View:
    place = _place(_positive(call), int(call.number("index")))
    return placed(low, call["self"], place, _rows(call, "src"))


def _slice_scatter(low: Lowering, call: Call) -> View:
    return placed(low, call["self"], _place(_positive(call), _slice_of(call)), _rows(call, "src"))


def _rows(call: Call, name: str) -> Rows:
    x: View = call[name]
    if (x.axis is None) != (call.axis is None):
        raise Mixing(f"{call.name} joins a batch axis with another axis")
    return x.rows


def _pad(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    amounts = [int(amount) for amount in call["pad"]]
    result = _filled(low, call, call.number("value"))
    source, place = x.rows, []
    for dim, size in enumerate(x.positions.shape):
        position = 2 * (x.positions.ndim - 1 - dim)
        before, after = amounts[position : position + 2] if position < len(amounts) else (0, 0)
        if dim == x.axis and (before or after):
            raise Mixing(f"{call.name} acts on the batch axis")
        # Negative amounts cut off.
        source = source[_place(dim, slice(max(-before, 0), size - max(-after, 0)))]
        start = max(before, 0)
        place.append(slice(start, start + source.shape[dim]))
    return placed(low, result, tuple(place), source)


def _triangle(upper: bool) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        if x.axis is not None and x.axis >= x.positions.ndim - 2:
            raise Mixing(f"{call.name} acts on the batch axis")
        ones = np.ones(x.positions.shape[-2:], bool)
        diagonal = int(call.number("diagonal"))
        held = np.triu(ones, diagonal) if upper else np.tril(ones, diagonal)
        return low.new(np.where(held, x.rows, _filled(low, call).rows), x.axis, x.dtype)

    return rule


def _trace(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    if x.axis is not None:
        raise Mixing("trace acts on the batch axis")
    return low.sum(x.showing(x.positions.diagonal(), None), (0,))


PLACEMENT: dict[str, Rule] = {
    "select_backward": _select_backward,
    "slice_backward": _slice_backward,
    "diagonal_backward": _diagonal_backward,
    "unfold_backward": _unfold_backward,
    "diag_embed": _diag_embed,
    "select_scatter": _select_scatter,
    "slice_scatter": _slice_scatter,
    "constant_pad_nd": _pad,
    "tril": _triangle(upper=False),
    "triu": _triangle(upper=True),
    "trace": _trace,
}
