"""Integers that depend on t or y: rows of the state's dtype, as long as that holds them exactly.

Where a number is too large the field is left without a value: there the function itself is called.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from flashode.capture.lowering.bounds import Bounds
from flashode.capture.lowering.rules.context import Call, Lowering, View
from flashode.capture.lowering.rules.elementwise import operand
from flashode.capture.refusal import Typed

# Up to here every integer is a number of the dtype.
EXACT = {torch.float32: 1 << 24, torch.float64: 1 << 53}

# What is the same of integers as of numbers that hold them, rounding included.
_DIVISIONS = frozenset({"div", "floor_divide", "remainder", "fmod"})
INTEGRAL = _DIVISIONS | {
    *("add", "sub", "rsub", "mul", "neg", "abs", "sign", "sgn", "minimum", "maximum"),
    *("clamp", "clamp_min", "clamp_max", "where", "masked_fill", "fill", "zero"),
    *("sum", "cumsum", "amax", "amin", "max", "min"),
}
# Of those the ones that may give a zero a sign, which an integer has none of.
_SIGNED = _DIVISIONS | {"rsub", "mul", "neg", "sgn", "sign"}


def is_integer(dtype: torch.dtype) -> bool:
    """Whether it is one of integers; booleans are none."""
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def whole(low: Lowering, x: View, dtype: torch.dtype) -> View:
    """A copy in an integer dtype: rounded towards zero, without a gradient."""
    if x.dtype.is_floating_point:
        x = low.scaled(low.unary("trunc", low.without_gradient(x)), 1.0, 0.0)
    least, greatest = _range(low, dtype)
    if not low.bounds(x).within(least, greatest):
        # Half of them, so that there is room for what is added.
        least, greatest = least // 2, greatest // 2
        low.require(low.compared("le", low.constant(least), x))
        low.require(low.compared("le", x, greatest))
        x = low.unary("clamp", x, least, greatest)
    return low.new(x.rows, x.axis, dtype)


def integral(low: Lowering, call: Call, view: View, dtype: torch.dtype) -> View:
    """The result of an operation on integers."""
    if call.name not in INTEGRAL or not is_integer(dtype):
        return view
    if call.name in _SIGNED:
        view = low.scaled(view, 1.0, 0.0)
    if call.name in _DIVISIONS - {"fmod"}:
        low.bounds_of_rows.narrow(view.rows, _of_division(low, call))
    if not low.bounds(view).within(*_range(low, dtype)):
        limit = "" if low.dtype == torch.float64 else f"; {low.dtype} holds them up to {EXACT[low.dtype]}"
        raise Typed(
            f"the integers that aten.{call.name} makes may be larger than their numbers are exact{limit}",
            remedy="clamp() what they are made of to the range that they have",
        )
    return replace(view, dtype=dtype)


def _of_division(low: Lowering, call: Call) -> Bounds:
    """Of integers a remainder never reaches the divisor, and a quotient is no larger than what is divided."""
    if call.name == "remainder":
        divisor = low.bounds(operand(low, call, "other"))
        return Bounds(min(0.0, divisor.least + 1.0), max(0.0, divisor.greatest - 1.0))
    largest = max(map(abs, low.bounds(operand(low, call, "self"))))
    return Bounds(-largest, largest)


def require_divisor(low: Lowering, call: Call, divisor: View) -> None:
    """Torch raises where an integer is divided by zero."""
    if not is_integer(call.dtypes[0]) or call.name not in _DIVISIONS:
        return
    bounds = low.bounds(divisor)
    if bounds.least <= 0.0 <= bounds.greatest:
        low.require(low.compared("ne", divisor, 0.0))


def _range(low: Lowering, dtype: torch.dtype) -> tuple[int, int]:
    """The integers that are exact in a dtype and in the state's."""
    info, exact = torch.iinfo(dtype), EXACT[low.dtype]
    return max(info.min, -exact), min(info.max, exact)
