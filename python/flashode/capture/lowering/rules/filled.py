"""Tensors full of one number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand

_UNINITIALISED = "empty empty_like empty_strided new_empty new_empty_strided"


def _filled(number: Callable[[Call], float]) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        held = torch.tensor(number(call), dtype=torch.float64).to(call.dtypes[0])
        rows = low.program.constant(np.array(float(held)))
        return low.new(np.broadcast_to(rows, call.shape), call.axis, call.dtypes[0])

    return rule


def _zero(call: Call) -> float:
    return 0.0


def _zeros(low: Lowering, call: Call) -> View:
    # torch.zeros says False of memory that it does not pin; torch's own code, written in C++, says nothing.
    by_torch = call["pin_memory"] is None and call["layout"] is not None
    if call.shape or not by_torch:
        rows = low.program.constant(np.zeros(()))
        return low.new(np.broadcast_to(rows, call.shape), call.axis, call.dtypes[0])
    return low.new(low.program.zero_tangent().reshape(()), None, call.dtypes[0])


def _nothing(low: Lowering, call: Call) -> View:
    return low.new(low.program.nothing(call.shape), call.axis, call.dtypes[0])


def _one(call: Call) -> float:
    return 1.0


def _fill_number(call: Call) -> float:
    return call.number("fill_value")


def _fill(low: Lowering, call: Call) -> View:
    x = operand(low, call, "value")
    return low.spread(x, call["self"])


# Only the shape of these depends on other tensors.
FILLED: dict[str, Rule] = {
    "zeros": _zeros,
    **{name: _filled(_zero) for name in ("zeros_like", "new_zeros")},
    "_efficientzerotensor": _nothing,
    "_new_zeros_with_same_feature_meta": _filled(_zero),
    # Uninitialised memory holds nothing to repeat; zeros are as good as anything.
    **{name: _filled(_zero) for name in _UNINITIALISED.split()},
    **{name: _filled(_one) for name in ("ones", "ones_like", "new_ones")},
    **{name: _filled(_fill_number) for name in ("full", "full_like", "new_full")},
}

FILLS: dict[str, Rule] = {
    "fill": _fill,
    "zero": _filled(_zero),
}
