"""Tensors of zeros, or others, with a tensor at a place of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View, at
from flashode.capture.lowering.rules.filled import filled
from flashode.capture.lowering.rules.indexing import placed
from flashode.capture.lowering.rules.structure import slice_of, windows
from flashode.capture.refusal import Mixing


def _index(call: Call) -> int:
    return int(call.number("index"))


def _put(source: str, index: Callable[[Call], Any]) -> Rule:
    """A tensor at a place along a dimension of ``self``, or of zeros where there is none."""

    def rule(low: Lowering, call: Call) -> View:
        x: View = call[source]
        target = call.arguments.get("self")
        if target is None:
            if x.shape == call.shapes[0]:
                return x
            target = filled(low, call)
        place = at(call.dim(target), index(call))
        if (x.axis is None) != (target.axis is None):
            raise Mixing(f"{call.name} joins a batch axis with another axis")
        return placed(low, target, place, x.rows)

    return rule


def _elements(call: Call) -> Rows:
    """The elements of the result, numbered."""
    return np.arange(int(np.prod(call.shape))).reshape(call.shape)


def _among_zeros(low: Lowering, call: Call, elements: Rows, source: Rows, add: bool = False) -> View:
    """Zeros but for some elements, at which a tensor is put or added up."""
    flat = low.new(filled(low, call).rows.ravel(), None)
    rows = placed(low, flat, (elements.ravel(),), source, add).rows
    return low.new(rows.reshape(call.shape), call.axis, call.dtypes[0])


def _on_diagonal(source: str) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        target = filled(low, call)
        dims = call.dim(target, "dim1"), call.dim(target, "dim2")
        diagonal = _elements(call).diagonal(int(call.number("offset")), *dims)
        return _among_zeros(low, call, diagonal, call[source].rows)

    return rule


def _unfold_backward(low: Lowering, call: Call) -> View:
    seen = windows(call, _elements(call), call.dim(filled(low, call)))
    return _among_zeros(low, call, seen, call["grad_in"].rows, add=True)


def _pad(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    amounts = [int(amount) for amount in call["pad"]]
    source, place = x.rows, []
    for dim, size in enumerate(x.positions.shape):
        position = 2 * (x.positions.ndim - 1 - dim)
        before, after = amounts[position : position + 2] if position < len(amounts) else (0, 0)
        if dim == x.axis and (before or after):
            raise Mixing(f"{call.name} acts on the batch axis")
        # Negative amounts cut off.
        source = source[at(dim, slice(max(-before, 0), size - max(-after, 0)))]
        start = max(before, 0)
        place.append(slice(start, start + source.shape[dim]))
    return placed(low, filled(low, call, call.number("value")), tuple(place), source)


def _triangle(held: Callable[..., Rows]) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        if x.axis is not None and x.axis >= x.positions.ndim - 2:
            raise Mixing(f"{call.name} acts on the batch axis")
        inside = held(np.ones(x.positions.shape[-2:], bool), int(call.number("diagonal")))
        return low.new(np.where(inside, x.rows, filled(low, call).rows), x.axis, x.dtype)

    return rule


def _trace(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    if x.axis is not None:
        raise Mixing("trace acts on the batch axis")
    return low.sum(x.showing(x.positions.diagonal(), None), (0,))


PLACEMENT: dict[str, Rule] = {
    "select_backward": _put("grad_output", _index),
    "slice_backward": _put("grad_output", slice_of),
    "select_scatter": _put("src", _index),
    "slice_scatter": _put("src", slice_of),
    "diagonal_backward": _on_diagonal("grad_output"),
    "diag_embed": _on_diagonal("self"),
    "unfold_backward": _unfold_backward,
    "constant_pad_nd": _pad,
    "tril": _triangle(np.tril),
    "triu": _triangle(np.triu),
    "trace": _trace,
}
