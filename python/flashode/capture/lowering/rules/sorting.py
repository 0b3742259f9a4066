"""Sorting of small rows, by exchanges of neighbours."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules.context import Call, Lowering, Result, Rule, View
from flashode.capture.refusal import Typed, Unsupported

# The longest rows: the work grows with the square of their length.
LONGEST = 32


def _sort(low: Lowering, call: Call) -> list[Result]:
    x: View = call["self"]
    dim, descending = call.dim(x), bool(call["descending"])
    length = x.positions.shape[dim] if x.positions.ndim else 1
    if not call.arguments.get("stable"):
        _same_ties(low, call, length, "sort(..., stable=True)")
    return _sorted(low, call, x, dim, descending, length)


def _topk(low: Lowering, call: Call) -> list[Result]:
    x: View = call["self"]
    dim, largest, count = call.dim(x), bool(call["largest"]), int(call.number("k"))
    length = x.positions.shape[dim] if x.positions.ndim else 1
    remedy = f"sort(..., descending={largest}, stable=True)[0][..., :k]"
    if not call["sorted"]:
        raise Unsupported("topk in any order is not supported", remedy=f"write {remedy}")
    _same_ties(low, call, length, remedy)
    return _sorted(low, call, x, dim, largest, count)


def _same_ties(low: Lowering, call: Call, length: int, remedy: str) -> None:
    """Refuses what leaves the order of equal elements open, which decides where a gradient goes."""
    if call.dtypes[0] != low.dtype:
        raise Typed(f"{call.name} of {call.dtypes[0]} is not supported")
    if low.device.type != "cpu" or not _keeps_order(call.name, length, low.dtype):
        what = f"{call.name} of {length} elements leaves open which of equal ones comes first"
        raise Unsupported(what, remedy=f"write {remedy}")


@lru_cache(maxsize=256)
def _keeps_order(name: str, length: int, dtype: torch.dtype) -> bool:
    """Whether torch leaves equal elements of short rows in their order, as far as samples show."""
    if length > LONGEST:
        return True  # refused for another reason
    generator = torch.Generator("cpu").manual_seed(0)
    samples = torch.randint(0, 3, (64, length), generator=generator, device="cpu").to(dtype)
    samples[1::2][samples[1::2] == 2] = torch.nan
    for descending in (False, True):
        order = samples.sort(dim=-1, descending=descending, stable=True)[1]
        if name == "sort":
            others = [samples.sort(-1, descending=descending)[1]]
        else:
            others = [samples.topk(k, -1, largest=descending)[1] for k in range(1, length + 1)]
        if not all(torch.equal(other, order[:, : other.shape[1]]) for other in others):
            return False
    return True


def _sorted(low: Lowering, call: Call, x: View, dim: int, descending: bool, count: int) -> list[Result]:
    """The first elements in order, and their numbers; NaN is the largest, and equal ones stay in order."""
    rows = np.moveaxis(x.rows, dim, 0) if x.positions.ndim else x.rows[None]
    if len(rows) > LONGEST:
        raise Unsupported(
            f"{call.name} of {len(rows)} elements is not supported, of up to {LONGEST} it is",
            remedy="sort before the solve, or fewer elements",
        )
    numbers = low.program.constant(np.arange(float(len(rows))))
    rows = rows.copy()
    places = np.broadcast_to(numbers.reshape(-1, *(1,) * (rows.ndim - 1)), rows.shape).copy()
    for start in range(len(rows)):
        first = np.arange(start % 2, len(rows) - 1, 2)
        if len(first):
            _exchange(low, rows, places, first, descending)

    def result(held: Rows, position: int) -> View:
        chosen = np.moveaxis(held[:count], 0, dim).reshape(call.shape)
        return low.new(chosen, call.axis, call.dtypes[position])

    return [result(rows, 0), result(places, 1)]


def _exchange(low: Lowering, rows: Rows, places: Rows, first: Rows, descending: bool) -> None:
    """Puts neighbours in order, in place, all pairs at once."""
    program, second = low.program, first + 1
    a, b = rows[first], rows[second]
    lower, upper = (b, a) if descending else (a, b)
    ordered, number = program.binary("le", lower, upper), program.binary("eq", upper, upper)
    swap = program.binary("lt", ordered, number)
    for held in (rows, places):
        a, b = held[first], held[second]
        held[first], held[second] = program.select(swap, b, a), program.select(swap, a, b)


SORTING: dict[str, Rule] = {"sort": _sort, "topk": _topk}
