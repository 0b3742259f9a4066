"""Element-wise arithmetic and elementary functions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.refusal import Unsupported

_SAME_NAME = (
    "neg abs sign reciprocal sqrt rsqrt exp expm1 log log1p sin cos tan asin acos atan sinh cosh tanh "
    "asinh acosh atanh erf log2 log10 exp2 sinc"
)
_TWO_OPERANDS = "maximum minimum atan2 hypot logaddexp logaddexp2"


def same(fn: str, *numbers: str) -> Rule:
    """The rule for an operation that is one function of the Program, of a tensor and of numbers."""
    return lambda low, call: low.unary(fn, call["self"], *map(call.number, numbers))


def operand(low: Lowering, call: Call, name: str) -> View:
    """A tensor argument, or a number as a literal tensor."""
    value = call[name]
    return value if isinstance(value, View) else low.constant(call.number(name))


def pairwise(fn: str, other: str = "other") -> Rule:
    """The rule for an operation that is one function of the Program, of two tensors."""
    return lambda low, call: low.binary(fn, operand(low, call, "self"), operand(low, call, other))


def _add(low: Lowering, call: Call) -> View:
    if call.dtypes[0] == torch.bool and call.number("alpha") != 0.0:
        return low.either(operand(low, call, "self"), operand(low, call, "other"))
    other = low.scaled(operand(low, call, "other"), call.number("alpha"))
    return low.add(operand(low, call, "self"), other)


def _subtracted(what: str, of: str) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        subtrahend = low.scaled(operand(low, call, what), call.number("alpha"))
        return low.sub(operand(low, call, of), subtrahend)

    return rule


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
    return low.scaled(base, 1.0) if number == 1.0 else low.unary("power", base, number)


def _preferring(wins: Callable[[View, View], tuple[View, View]]) -> Rule:
    """fmax and fmin: a NaN loses, and of equal numbers the first has the whole gradient."""

    def rule(low: Lowering, call: Call) -> View:
        a, b = call["self"], call["other"]
        first = low.either(low.compared("le", *wins(a, b)), low.compared("ne", b, b))
        return low.select(first, a, b)

    return rule


def _clamp(low: Lowering, call: Call) -> View:
    """Clamps to numbers, or to tensors, whose gradient is where they bound."""
    arguments = call.arguments
    x: View = call["self"]
    bottom, top = arguments.get("min"), arguments.get("max")
    if not isinstance(bottom, View) and not isinstance(top, View):
        low_end = -math.inf if bottom is None else call.number("min")
        high_end = math.inf if top is None else call.number("max")
        if math.isnan(low_end) or math.isnan(high_end):
            return low.unary("clamp", low.scaled(x, 1.0, math.nan), -math.inf, math.inf)
        return low.unary("clamp", x, low_end, high_end)
    if bottom is not None:
        bottom = operand(low, call, "min")
        if top is not None:
            # Torch gives the gradient of what lies below both bounds to the lower one unless they coincide.
            meeting = low.compared("eq", bottom, operand(low, call, "max"))
            bottom = low.select(meeting, low.without_gradient(bottom), bottom)
        x = _bounded(low, x, bottom, lambda a, b: (a, b))
    if top is not None:
        x = _bounded(low, x, operand(low, call, "max"), lambda a, b: (b, a))
    return x


def _bounded(low: Lowering, x: View, bound: View, ordered: Callable[[View, View], tuple[View, View]]) -> View:
    """The larger of the two, by some order; no number, without a gradient, where one of them is none."""
    beyond = low.select(low.compared("lt", *ordered(x, bound)), bound, low.constant(math.nan))
    return low.select(low.compared("le", *ordered(bound, x)), x, beyond)


def _added(join: Callable[[Lowering, View, View], View]) -> Rule:
    """``self`` and a product or quotient of two tensors, times a number."""

    def rule(low: Lowering, call: Call) -> View:
        first = low.scaled(call["tensor1"], call.number("value"))
        return low.add(call["self"], join(low, first, call["tensor2"]))

    return rule


def _lerp(low: Lowering, call: Call) -> View:
    """Counts from the end that is nearer, so that both are met exactly."""
    start, end, weight = call["self"], call["end"], operand(low, call, "weight")
    near = low.compared("lt", low.unary("abs", weight), 0.5)
    back = low.select(near, low.scaled(weight, -1.0), low.scaled(weight, -1.0, 1.0))
    return low.sub(low.select(near, start, end), low.mul(low.sub(end, start), back))


def _times_logarithm(fn: str) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        x, y = operand(low, call, "self"), operand(low, call, "other")
        if math.isnan(low.number(y) or 0.0):
            raise Unsupported(f"{call.name} with a number that is none is not supported")
        return low.binary(fn, x, y)

    return rule


def _logit(low: Lowering, call: Call) -> View:
    return low.unary("logit", call["self"], -1.0 if call["eps"] is None else call.number("eps"))


def _nan_to_num(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    largest = torch.finfo(low.dtype).max
    numbers = {"nan": 0.0, "posinf": largest, "neginf": -largest}
    replacements = {name: low.constant(call.number(name) if call[name] is not None else number)
             for name, number in numbers.items()}  # fmt: skip
    result = low.select(low.compared("ne", x, x), replacements["nan"], x)
    result = low.select(low.compared("eq", x, math.inf), replacements["posinf"], result)
    return low.select(low.compared("eq", x, -math.inf), replacements["neginf"], result)


ELEMENTWISE: dict[str, Rule] = {
    **{name: same(name) for name in _SAME_NAME.split()},
    **{name: pairwise(name) for name in _TWO_OPERANDS.split()},
    "sgn": same("sign"),
    "add": _add,
    "sub": _subtracted("other", of="self"),
    "rsub": _subtracted("self", of="other"),
    "mul": _mul,
    "pow": _pow,
    "fmax": _preferring(lambda a, b: (b, a)),
    "fmin": _preferring(lambda a, b: (a, b)),
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "addcmul": _added(Lowering.mul),
    "addcdiv": _added(Lowering.div),
    "lerp": _lerp,
    "xlogy": _times_logarithm("xlogy"),
    "special_xlog1py": _times_logarithm("xlog1py"),
    "logit": _logit,
    "deg2rad": lambda low, call: low.scaled(call["self"], math.pi / 180.0),
    "rad2deg": lambda low, call: low.scaled(call["self"], 180.0 / math.pi),
    "nan_to_num": _nan_to_num,
}
