"""Rounding, and quotients and remainders that round."""

from __future__ import annotations

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand, same
from flashode.capture.lowering.rules.integers import require_divisor


def _round(low: Lowering, call: Call) -> View:
    decimals = int(call.number("decimals")) if "decimals" in call.arguments else 0
    if decimals == 0:
        return low.unary("round", call["self"])
    shift = 10.0 ** abs(decimals)
    if decimals > 0:
        return low.averaged(low.unary("round", low.scaled(call["self"], shift)), shift)
    return low.scaled(low.unary("round", low.div(call["self"], low.constant(shift))), shift)


def _div(low: Lowering, call: Call) -> View:
    a, b = operand(low, call, "self"), operand(low, call, "other")
    mode = call.arguments.get("rounding_mode")
    if mode is None:
        return low.div(a, b)
    require_divisor(low, call, b)
    return low.binary(f"{mode}_divide", a, b)


def _divided(fn: str) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        a, b = operand(low, call, "self"), operand(low, call, "other")
        require_divisor(low, call, b)
        return low.binary(fn, a, b)

    return rule


ROUNDING: dict[str, Rule] = {
    "floor": same("floor"),
    "ceil": same("ceil"),
    "trunc": same("trunc"),
    "round": _round,
    "frac": lambda low, call: low.sub(call["self"], low.unary("trunc", call["self"])),
    "fmod": _divided("fmod"),
    "remainder": _divided("remainder"),
    "floor_divide": _divided("floor_divide"),
    "div": _div,
}
