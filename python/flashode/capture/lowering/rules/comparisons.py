"""Comparisons, logic and choices: booleans are rows of ones and zeros."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand
from flashode.capture.refusal import Typed


def _compared(fn: str, swapped: bool = False) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        a, b = _comparable(low, call, "self"), _comparable(low, call, "other")
        return low.compared(fn, b, a) if swapped else low.compared(fn, a, b)

    return rule


def _comparable(low: Lowering, call: Call, name: str) -> View:
    """An operand, refused where torch would compare in a wider type than the Program's."""
    x = operand(low, call, name)
    if x.positions.ndim and torch.promote_types(x.dtype, low.dtype) != low.dtype:
        raise Typed(f"{call.name} compares in {x.dtype}")
    return x


def truth(low: Lowering, x: View) -> View:
    """Where elements are not zero."""
    return x if x.dtype == torch.bool else low.compared("ne", x, 0.0)


def _logical(join: Callable[[Lowering, View, View], View], bits: bool = False) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        operands = operand(low, call, "self"), operand(low, call, "other")
        if bits and call.dtypes[0] != torch.bool:
            raise Typed(f"{call.name} of integers is not supported")
        return join(low, *(truth(low, x) for x in operands))

    return rule


def _not(low: Lowering, call: Call) -> View:
    if call.name == "bitwise_not" and call.dtypes[0] != torch.bool:
        raise Typed("bitwise_not of integers is not supported")
    return low.inverted(truth(low, call["self"]))


def _differ(low: Lowering, a: View, b: View) -> View:
    return low.compared("ne", a, b)


def _isnan(low: Lowering, call: Call) -> View:
    return low.compared("ne", call["self"], call["self"])


def _isinf(low: Lowering, call: Call) -> View:
    return low.compared("eq", low.unary("abs", call["self"]), math.inf)


def _is(number: float) -> Rule:
    return lambda low, call: low.compared("eq", call["self"], number)


def _any(low: Lowering, call: Call) -> View:
    x = truth(low, call["self"])
    return low.compared("ne", _count(low, call, x), 0.0)


def _all(low: Lowering, call: Call) -> View:
    missing = low.inverted(truth(low, call["self"]))
    return low.compared("eq", _count(low, call, missing), 0.0)


def _count(low: Lowering, call: Call, x: View) -> View:
    summed = low.sum(x, call.dims(x))
    return summed.showing(summed.positions.reshape(call.shape), call.axis)


def _where(low: Lowering, call: Call) -> View:
    condition = truth(low, call["condition"])
    return low.select(condition, operand(low, call, "self"), operand(low, call, "other"), call.dtypes[0])


def _masked_fill(low: Lowering, call: Call) -> View:
    value = converted(low, operand(low, call, "value"), call.dtypes[0])
    return low.select(call["mask"], value, call["self"], call.dtypes[0])


def _converted(low: Lowering, call: Call) -> View:
    return converted(low, call["self"], call.dtypes[0])


def converted(low: Lowering, x: View, dtype: torch.dtype) -> View:
    """A copy in another dtype, where its values are the same or, for booleans, whether they are zero."""
    if dtype == torch.bool and x.dtype != torch.bool:
        return low.compared("ne", x, 0.0)
    literal = low.program.literal(x.rows)
    if literal is not None:
        exact = torch.tensor(literal, dtype=x.dtype).to(dtype)
        return low.new(low.program.constant(exact.double().numpy()), x.axis, dtype)
    widens = torch.promote_types(x.dtype, dtype) == dtype
    # Parameters are brought to the state's dtype as torch would.
    prepared = low.program.is_static(x.rows) and (
        widens or (dtype == low.dtype and x.dtype.is_floating_point)
    )
    if x.dtype in (torch.bool, dtype) or prepared or (widens and dtype == low.dtype):
        return low.new(x.rows, x.axis, dtype)
    raise Typed(f"it converts {x.dtype} to {dtype}")


COMPARISONS: dict[str, Rule] = {
    "lt": _compared("lt"),
    "le": _compared("le"),
    "gt": _compared("lt", swapped=True),
    "ge": _compared("le", swapped=True),
    "eq": _compared("eq"),
    "ne": _compared("ne"),
    "logical_and": _logical(Lowering.both),
    "logical_or": _logical(Lowering.either),
    "logical_xor": _logical(_differ),
    "logical_not": _not,
    "bitwise_and": _logical(Lowering.both, bits=True),
    "bitwise_or": _logical(Lowering.either, bits=True),
    "bitwise_xor": _logical(_differ, bits=True),
    "bitwise_not": _not,
    "isnan": _isnan,
    "isinf": _isinf,
    "isposinf": _is(math.inf),
    "isneginf": _is(-math.inf),
    "any": _any,
    "all": _all,
    "where": _where,
    "masked_fill": _masked_fill,
    "_to_copy": _converted,
}
