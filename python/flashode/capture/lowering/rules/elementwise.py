"""Element-wise arithmetic and elementary functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View

_SAME_NAME = (
    "neg abs sign reciprocal sqrt exp expm1 log log1p sin cos tan asin acos atan sinh cosh tanh "
    "asinh acosh atanh erf log2 log10 exp2"
)
_TWO_OPERANDS = "maximum minimum atan2"


def same(fn: str) -> Rule:
    """The rule for an operation that is one element-wise function of the Program."""
    return lambda low, call: low.unary(fn, call["self"])


def operand(low: Lowering, call: Call, name: str) -> View:
    """A tensor argument, or a number as a literal tensor."""
    value = call[name]
    return value if isinstance(value, View) else low.constant(call.number(name))


def _add(low: Lowering, call: Call) -> View:
    if call.dtypes[0] == torch.bool and call.number("alpha") != 0.0:
        return low.either(operand(low, call, "self"), operand(low, call, "other"))
    other = low.scaled(operand(low, call, "other"), call.number("alpha"))
    return low.add(operand(low, call, "self"), other)


def _sub(low: Lowering, call: Call) -> View:
    other = low.scaled(operand(low, call, "other"), call.number("alpha"))
    return low.sub(operand(low, call, "self"), other)


def _rsub(low: Lowering, call: Call) -> View:
    subtrahend = low.scaled(operand(low, call, "self"), call.number("alpha"))
    return low.sub(operand(low, call, "other"), subtrahend)


def _mul(low: Lowering, call: Call) -> View:
    a, b = operand(low, call, "self"), operand(low, call, "other")
    if call.dtypes[0] == torch.bool:
        return low.both(a, b)
    return low.mul(a, b)


def _pow(low: Lowering, call: Call) -> View:
    base, exponent = operand(low, call, "self"), call["exponent"]
    if isinstance(exponent, View):
        return low.binary("power", base, exponent)
    number = call.number("exponent")
    if number == 1.0:
        return low.scaled(base, 1.0)
    if number in (0.5, -1.0):
        return low.unary("sqrt" if number == 0.5 else "reciprocal", base)
    return low.unary("power", base, number)


def _binary(fn: str) -> Rule:
    return lambda low, call: low.binary(fn, operand(low, call, "self"), operand(low, call, "other"))


def _preferring(wins: Callable[[View, View], tuple[View, View]]) -> Rule:
    """fmax and fmin: a NaN loses, and of equal numbers the first has the whole gradient."""

    def rule(low: Lowering, call: Call) -> View:
        a, b = call["self"], call["other"]
        first = low.either(low.compared("le", *wins(a, b)), low.compared("ne", b, b))
        return low.select(first, a, b)

    return rule


def _rsqrt(low: Lowering, call: Call) -> View:
    return low.unary("reciprocal", low.unary("sqrt", call["self"]))


def _clamp(low: Lowering, call: Call) -> View:
    """Clamps to numbers, or to tensors, whose gradient is where they bound."""
    given = call.arguments
    x: View = call["self"]
    bottom, top = given.get("min"), given.get("max")
    if not isinstance(bottom, View) and not isinstance(top, View):
        low_end = -math.inf if bottom is None else call.number("min")
        high_end = math.inf if top is None else call.number("max")
        return low.unary("clamp", x, low_end, high_end)
    if bottom is not None:
        bottom = operand(low, call, "min")
        if top is not None:
            # Torch gives the gradient of what lies below both bounds to the lower one unless they coincide.
            meeting = low.compared("eq", bottom, operand(low, call, "max"))
            bottom = low.select(meeting, low.without_gradient(bottom), bottom)
        x = low.select(low.compared("lt", x, bottom), bottom, x)
    if top is not None:
        top = operand(low, call, "max")
        x = low.select(low.compared("lt", top, x), top, x)
    return x


def _addcmul(low: Lowering, call: Call) -> View:
    product = low.mul(call["tensor1"], call["tensor2"])
    return low.add(call["self"], low.scaled(product, call.number("value")))


def _addcdiv(low: Lowering, call: Call) -> View:
    quotient = low.div(call["tensor1"], call["tensor2"])
    return low.add(call["self"], low.scaled(quotient, call.number("value")))


def _lerp(low: Lowering, call: Call) -> View:
    start = call["self"]
    return low.add(start, low.mul(low.sub(call["end"], start), operand(low, call, "weight")))


def _logaddexp(base: float) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        a, b = call["self"], call["other"]
        rate = math.log(base)
        # Infinities may be equal, but have no difference.
        difference = low.select(low.compared("eq", a, b), low.constant(0.0), low.sub(a, b))
        distance = low.unary("abs", difference)
        rest = low.unary("log1p", low.unary("exp", low.scaled(distance, -rate)))
        return low.add(low.binary("maximum", a, b), low.scaled(rest, 1.0 / rate))

    return rule


def _xlogy(low: Lowering, call: Call) -> View:
    x, y = operand(low, call, "self"), operand(low, call, "other")
    vanishes = low.both(low.compared("eq", x, 0.0), low.compared("le", y, 0.0))
    logarithm = low.unary("log", low.select(vanishes, low.constant(1.0), y))
    return low.select(vanishes, low.constant(0.0), low.mul(x, logarithm))


def _sinc(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    origin, one = low.compared("eq", x, 0.0), low.constant(1.0)
    angle = low.scaled(low.select(origin, one, x), math.pi)
    return low.select(origin, one, low.div(low.unary("sin", angle), angle))


def _hypot(low: Lowering, call: Call) -> View:
    # Of numbers near one, so that no square overflows or vanishes; how far they are taken cancels.
    a, b = call["self"], call["other"]
    width, height = (low.unary("abs", low.without_gradient(x)) for x in (a, b))
    size = low.binary("maximum", width, height)
    alone = low.either(low.compared("eq", size, 0.0), low.compared("eq", size, math.inf))
    size = low.select(alone, low.constant(1.0), size)
    squares = (low.unary("power", low.div(x, size), 2.0) for x in (a, b))
    return low.mul(size, low.unary("sqrt", low.add(*squares)))


def _logit(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    if call["eps"] is not None:
        eps = call.number("eps")
        x = low.unary("clamp", x, eps, 1.0 - eps)
    return low.unary("log", low.div(x, low.scaled(x, -1.0, 1.0)))


def _scale(factor: float) -> Rule:
    return lambda low, call: low.scaled(call["self"], factor)


def _nan_to_num(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    largest = torch.finfo(low.dtype).max
    numbers = {"nan": 0.0, "posinf": largest, "neginf": -largest}
    given = {name: low.constant(call.number(name) if call[name] is not None else number)
             for name, number in numbers.items()}  # fmt: skip
    result = low.select(low.compared("ne", x, x), given["nan"], x)
    result = low.select(low.compared("eq", x, math.inf), given["posinf"], result)
    return low.select(low.compared("eq", x, -math.inf), given["neginf"], result)


ELEMENTWISE: dict[str, Rule] = {
    **{name: same(name) for name in _SAME_NAME.split()},
    **{name: _binary(name) for name in _TWO_OPERANDS.split()},
    "sgn": same("sign"),
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "pow": _pow,
    "fmax": _preferring(lambda a, b: (b, a)),
    "fmin": _preferring(lambda a, b: (a, b)),
    "rsqrt": _rsqrt,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
    "logaddexp": _logaddexp(math.e),
    "logaddexp2": _logaddexp(2.0),
    "xlogy": _xlogy,
    "sinc": _sinc,
    "hypot": _hypot,
    "logit": _logit,
    "deg2rad": _scale(math.pi / 180.0),
    "rad2deg": _scale(180.0 / math.pi),
    "nan_to_num": _nan_to_num,
}
