"""Picking and writing by index tensors whose content is known: literals, or buffers held to it.

What is picked by others is looked up in the kernel; see ``tables``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Result, Rule, View, at
from flashode.capture.lowering.rules.elementwise import operand
from flashode.capture.lowering.rules.tables import gathered, looked_up, selected
from flashode.capture.refusal import Computed, Mixing, Typed, Unsupported


def _known(low: Lowering, call: Call, index: View) -> Any:
    """The content of an index tensor."""
    content = low.known(index)
    if content is None:
        raise Computed(f"{call.name} with an index that is computed or belongs to a batch is not supported")
    return content


def _numpy_index(low: Lowering, call: Call, indices: Sequence[View | None], x: View) -> tuple[Any, ...]:
    """Index tensors as numpy's; the batch axis must not be among the indexed ones."""
    result: list[Any] = []
    dim = 0
    for index in indices:
        # A mask stands for as many dimensions as it has.
        covered = 1 if index is None or index.dtype != torch.bool else index.positions.ndim
        if index is not None and x.axis in range(dim, dim + covered):
            raise Mixing(f"{call.name} acts on the batch axis")
        result.append(slice(None) if index is None else _known(low, call, index))
        dim += covered
    return tuple(result)


def _by_indices(low: Lowering, call: Call, x: View) -> tuple[Any, ...]:
    return _numpy_index(low, call, call["indices"], x)


def _along(low: Lowering, call: Call, x: View) -> tuple[Any, ...]:
    """The numpy index of a vector of indices along one dimension."""
    dim = call.dim(x)
    return at(dim, _known(low, call, call["index"]))


def _everywhere(low: Lowering, call: Call, x: View) -> tuple[Rows, ...]:
    """The numpy index of an index tensor that names a place along ``dim`` for each element."""
    dim, index = call.dim(x), call["index"]
    places = list(np.indices(index.positions.shape))
    places[dim] = _known(low, call, index)
    if x.axis is not None and index.axis != x.axis:
        raise Mixing(f"{call.name} picks from the batch axis")
    return tuple(places)


def _picked(place: Callable[[Lowering, Call, View], tuple[Any, ...]]) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        x: View = call["self"]
        return low.new(x.rows[place(low, call, x)], call.axis, x.dtype)

    return rule


def placed(low: Lowering, target: View, place: tuple[Any, ...], source: Rows, add: bool = False) -> View:
    """A copy of ``target`` with ``source`` at a place of it, or added there."""
    elements = np.arange(target.positions.size).reshape(target.positions.shape)[place].ravel()
    rows: Rows = target.rows.ravel().copy()
    if not add:
        rows[elements] = source.ravel()
    else:
        if target.dtype != low.dtype:
            raise Typed(f"it adds up {target.dtype} at an index")
        distinct, inverse, count = np.unique(elements, return_inverse=True, return_counts=True)
        if (count > 1).any():
            source = low.program.segment_sum(source.ravel(), inverse, len(distinct))
            elements = distinct
        rows[elements] = low.program.binary("add", rows[elements], source.ravel())
    return low.new(rows.reshape(target.positions.shape), target.axis, target.dtype)


def _index_put(low: Lowering, call: Call) -> View:
    target: View = call["self"]
    indices: Sequence[View | None] = call["indices"]
    values: View = call["values"]
    mask = indices[0] if len(indices) == 1 else None
    one_number = values.positions.size == 1 and values.axis is None
    if mask is not None and mask.dtype == torch.bool and one_number:
        return _masked(low, target, mask, values, call["accumulate"])
    place = _numpy_index(low, call, indices, target)
    shape = target.positions[place].shape
    # A batch axis must face the target's own; the two agree on it only from the right.
    if values.axis is not None and target.axis is not None:
        if shape[: target.axis] != target.positions.shape[: target.axis]:
            raise Unsupported("index_put with this index is not supported")
        if values.axis - values.positions.ndim != target.axis - len(shape):
            raise Mixing("index_put joins a batch axis with another axis")
    if values.axis is not None and target.axis is None:
        raise Mixing("index_put writes a batch into a tensor that has none")
    return placed(low, target, place, np.broadcast_to(values.rows, shape), call["accumulate"])


def _masked(low: Lowering, target: View, mask: View, number: View, add: bool) -> View:
    """One number where a mask over the leading dimensions holds."""
    missing = target.positions.ndim - mask.positions.ndim
    mask = mask.showing(mask.positions.reshape(mask.positions.shape + (1,) * missing), mask.axis)
    number = number.showing(number.positions.reshape(()), None)
    if add:
        number = low.add(target, number)
    return low.select(mask, number, target, target.dtype)


def _source(low: Lowering, call: Call, name: str, target: View, shape: tuple[int, ...]) -> Rows:
    source = operand(low, call, name)
    if source.axis != target.axis and not (source.axis is None and source.positions.ndim == 0):
        raise Mixing(f"{call.name} joins a batch axis with another axis")
    return np.broadcast_to(source.rows, shape)


def _scatter(add: bool) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        if "reduce" in call.arguments:
            raise Unsupported(f"{call.name} with a reduction is not supported")
        target: View = call["self"]
        place = _everywhere(low, call, target)
        sizes = call["index"].positions.shape
        name = "src" if "src" in call.arguments else "value"
        source = operand(low, call, name)
        if source.positions.ndim:
            cut = source.positions[tuple(slice(0, size) for size in sizes)]
            call.arguments[name] = source.showing(cut, source.axis)
        return placed(low, target, place, _source(low, call, name, target, sizes), add)

    return rule


def _along_dimension(name: str, add: bool) -> Rule:
    """index_add, index_copy and index_fill."""

    def rule(low: Lowering, call: Call) -> View:
        target: View = call["self"]
        place = _along(low, call, target)
        rows = _source(low, call, name, target, target.positions[place].shape)
        if add:
            rows = low.scaled(low.new(rows, None), call.number("alpha")).rows
        return placed(low, target, place, rows, add)

    return rule


def _picked_by(names: Callable[[Call], Sequence[View | None]], known: Rule, computed: Rule) -> Rule:
    """A rule for indices whose content is known, and one for others."""

    def rule(low: Lowering, call: Call) -> View | Sequence[Result]:
        indices = [index for index in names(call) if index is not None]
        unknown = [index for index in indices if low.known(index) is None]
        # Those that the field owns are held to their content, or refused: no solve has to look at them.
        fixed = not unknown or any(low.is_static(index) for index in unknown)
        return known(low, call) if fixed else computed(low, call)

    return rule


def _indices(call: Call) -> Sequence[View | None]:
    indices: Sequence[View | None] = call["indices"]
    return indices


def _index(call: Call) -> Sequence[View | None]:
    return [call["index"]]


_AT_INDICES = _picked_by(
    _indices,
    _picked(_by_indices),
    lambda low, call: looked_up(low, call, call["self"], call["indices"]),
)

INDEXING: dict[str, Rule] = {
    "index": _AT_INDICES,
    "_unsafe_index": _AT_INDICES,
    "index_select": _picked_by(_index, _picked(_along), selected),
    "gather": _picked_by(_index, _picked(_everywhere), gathered),
    "index_put": _index_put,
    "_unsafe_index_put": _index_put,
    "_index_put_impl": _index_put,
    "scatter": _scatter(add=False),
    "scatter_add": _scatter(add=True),
    "index_add": _along_dimension("source", add=True),
    "index_copy": _along_dimension("source", add=False),
    "index_fill": _along_dimension("value", add=False),
}
