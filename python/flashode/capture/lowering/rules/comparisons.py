"""Comparisons, logic and choices: booleans are rows of ones and zeros."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand
from flashode.capture.lowering.rules.integers import is_integer, whole
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


def _logical(join: Callable[..., View], *names: str) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        if call.name.startswith("bitwise") and call.dtypes[0] != torch.bool:
            raise Typed(f"{call.name} of integers is not supported")
        return join(low, *(truth(low, operand(low, call, name)) for name in names))

    return rule


def _differ(low: Lowering, a: View, b: View) -> View:
    return low.compared("ne", a, b)


def _where(low: Lowering, call: Call) -> View:
    condition = truth(low, call["condition"])
    return low.select(condition, operand(low, call, "self"), operand(low, call, "other"), call.dtypes[0])


def _masked_fill(low: Lowering, call: Call) -> View:
    value = converted(low, operand(low, call, "value"), call.dtypes[0])
    return low.select(call["mask"], value, call["self"], call.dtypes[0])


def converted(low: Lowering, x: View, dtype: torch.dtype) -> View:
    """A copy in another dtype, where its values are the same or, for booleans, whether they are zero."""
    if dtype == torch.bool and x.dtype != torch.bool:
        return low.compared("ne", x, 0.0)
    literal = low.program.literal(x.rows)
    if literal is not None:
        exact = torch.tensor(literal, dtype=x.dtype, device="cpu").to(dtype)
        return low.new(low.program.constant(exact.double().numpy()), x.axis, dtype)
    widens = torch.promote_types(x.dtype, dtype) == dtype
    # Parameters are brought to the state's dtype as torch would.
    prepared = low.program.is_static(x.rows) and (
        widens or (dtype == low.dtype and x.dtype.is_floating_point)
    )
    if x.dtype in (torch.bool, dtype) or prepared or (widens and dtype == low.dtype):
        return low.new(x.rows, x.axis, dtype)
    if is_integer(dtype):
        return whole(low, x, dtype)
    raise Typed(f"it converts {x.dtype} to {dtype}")


COMPARISONS: dict[str, Rule] = {
    "lt": _compared("lt"),
    "le": _compared("le"),
    "gt": _compared("lt", swapped=True),
    "ge": _compared("le", swapped=True),
    "eq": _compared("eq"),
    "ne": _compared("ne"),
    **dict.fromkeys(["logical_and", "bitwise_and"], _logical(Lowering.both, "self", "other")),
    **dict.fromkeys(["logical_or", "bitwise_or"], _logical(Lowering.either, "self", "other")),
    **dict.fromkeys(["logical_xor", "bitwise_xor"], _logical(_differ, "self", "other")),
    **dict.fromkeys(["logical_not", "bitwise_not"], _logical(Lowering.inverted, "self")),
    "isnan": lambda low, call: low.compared("ne", call["self"], call["self"]),
    "isinf": lambda low, call: low.compared("eq", low.unary("abs", call["self"]), math.inf),
    "isposinf": lambda low, call: low.compared("eq", call["self"], math.inf),
    "isneginf": lambda low, call: low.compared("eq", call["self"], -math.inf),
    "where": _where,
    "masked_fill": _masked_fill,
    "_to_copy": lambda low, call: converted(low, call["self"], call.dtypes[0]),
}
