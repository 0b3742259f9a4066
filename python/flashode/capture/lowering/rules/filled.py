"""Tensors full of one number."""

from __future__ import annotations

import numpy as np
import torch

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand

_ZEROS = "zeros_like new_zeros _new_zeros_with_same_feature_meta"
_UNINITIALISED = "empty empty_like empty_strided new_empty new_empty_strided"


def filled(low: Lowering, call: Call, number: float = 0.0) -> View:
    """A tensor of the first result's shape and dtype that holds a number everywhere."""
    held = torch.tensor(number, dtype=torch.float64, device="cpu").to(call.dtypes[0])
    rows = low.program.constant(np.array(float(held)))
    return low.new(np.broadcast_to(rows, call.shape), call.axis, call.dtypes[0])


def _zeros(low: Lowering, call: Call) -> View:
    # torch.zeros says False of memory that it does not pin; torch's own code, written in C++, says nothing.
    by_torch = call["pin_memory"] is None and call["layout"] is not None
    if call.shape or not by_torch:
        return filled(low, call)
    return low.new(low.program.zero_tangent().reshape(()), None, call.dtypes[0])


def _nothing(low: Lowering, call: Call) -> View:
    return low.new(low.program.nothing(call.shape), call.axis, call.dtypes[0])


def _ones(low: Lowering, call: Call) -> View:
    return filled(low, call, 1.0)


def _full(low: Lowering, call: Call) -> View:
    return filled(low, call, call.number("fill_value"))


def _fill(low: Lowering, call: Call) -> View:
    return low.spread(operand(low, call, "value"), call["self"])


# Only the shape of these depends on other tensors.
FILLED: dict[str, Rule] = {
    "zeros": _zeros,
    "_efficientzerotensor": _nothing,
    # Uninitialised memory holds nothing to repeat; zeros are as good as anything.
    **dict.fromkeys([*_ZEROS.split(), *_UNINITIALISED.split()], filled),
    **dict.fromkeys(["ones", "ones_like", "new_ones"], _ones),
    **dict.fromkeys(["full", "full_like", "new_full"], _full),
}

FILLS: dict[str, Rule] = {
    "fill": _fill,
    "zero": filled,
}
