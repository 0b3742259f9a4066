"""Rounding, and quotients and remainders that round."""

from __future__ import annotations

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import operand, pairwise, same


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
    return low.div(a, b) if mode is None else low.binary(f"{mode}_divide", a, b)


ROUNDING: dict[str, Rule] = {
    "floor": same("floor"),
    "ceil": same("ceil"),
    "trunc": same("trunc"),
    "round": _round,
    "frac": lambda low, call: low.sub(call["self"], low.unary("trunc", call["self"])),
    "fmod": pairwise("fmod"),
    "remainder": pairwise("remainder"),
    "div": _div,
}
