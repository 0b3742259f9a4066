"""Element-wise operations."""

from __future__ import annotations

import math
from typing import Any

from flashode.capture.refusal import Refusal
from flashode.capture.rules.context import Call, Lowering, Rule, View

_SAME_NAME = (
    "neg abs sign reciprocal sqrt exp expm1 log log1p sin cos tan tanh sigmoid relu erf atan sinh cosh "
    "silu mish hardsigmoid hardswish"
)


def _plain(fn: str) -> Rule:
    return lambda low, call: low.unary(fn, call["self"])


def _operand(low: Lowering, call: Call, name: str) -> View:
    """A tensor argument, or a number as a literal tensor."""
    value: Any = call[name]
    return value if isinstance(value, View) else low.constant(call.number(name))


def _add(low: Lowering, call: Call) -> View:
    other = low.scaled(_operand(low, call, "other"), call.number("alpha"))
    return low.add(_operand(low, call, "self"), other)


def _sub(low: Lowering, call: Call) -> View:
    other = low.scaled(_operand(low, call, "other"), call.number("alpha"))
    return low.sub(_operand(low, call, "self"), other)


def _rsub(low: Lowering, call: Call) -> View:
    subtrahend = low.scaled(_operand(low, call, "self"), call.number("alpha"))
    return low.sub(_operand(low, call, "other"), subtrahend)


def _mul(low: Lowering, call: Call) -> View:
    return low.mul(_operand(low, call, "self"), _operand(low, call, "other"))


def _div(low: Lowering, call: Call) -> View:
    if call.arguments.get("rounding_mode") is not None:
        raise Refusal("div with a rounding mode is not supported")
    return low.div(_operand(low, call, "self"), _operand(low, call, "other"))


def _pow(low: Lowering, call: Call) -> View:
    base, exponent = call["self"], call["exponent"]
    if isinstance(exponent, View):
        return low.binary("power", _operand(low, call, "self"), exponent)
    number = call.number("exponent")
    if number == 1.0:
        return low.scaled(base, 1.0)
    if number in (0.5, -1.0):
        return low.unary("sqrt" if number == 0.5 else "reciprocal", base)
    return low.unary("power", base, number)


def _binary(fn: str) -> Rule:
    return lambda low, call: low.binary(fn, call["self"], call["other"])


def _rsqrt(low: Lowering, call: Call) -> View:
    return low.unary("reciprocal", low.unary("sqrt", call["self"]))


def _logarithm(base: float) -> Rule:
    return lambda low, call: low.scaled(low.unary("log", call["self"]), 1.0 / math.log(base))


def _exp2(low: Lowering, call: Call) -> View:
    return low.unary("exp", low.scaled(call["self"], math.log(2.0)))


def _clamp(low: Lowering, call: Call) -> View:
    given = call.arguments
    low_end = -math.inf if given.get("min") is None else call.number("min")
    high_end = math.inf if given.get("max") is None else call.number("max")
    return low.unary("clamp", call["self"], low_end, high_end)


def _hardtanh(low: Lowering, call: Call) -> View:
    return low.unary("hardtanh", call["self"], call.number("min_val"), call.number("max_val"))


def _elu(low: Lowering, call: Call) -> View:
    constants = (call.number(name) for name in ("alpha", "scale", "input_scale"))
    return low.unary("elu", call["self"], *constants)


def _celu(low: Lowering, call: Call) -> View:
    alpha = call.number("alpha")
    return low.unary("elu", call["self"], alpha, 1.0, 1.0 / alpha)


def _leaky_relu(low: Lowering, call: Call) -> View:
    return low.unary("leaky_relu", call["self"], call.number("negative_slope"))


def _prelu(low: Lowering, call: Call) -> View:
    # At zero torch's gradient is the slope; clamp's gradient there is one and relu's is zero.
    x = call["self"]
    negative = low.unary("clamp", x, -math.inf, 0.0)
    return low.add(low.unary("relu", x), low.mul(negative, call["weight"]))


def _softplus(low: Lowering, call: Call) -> View:
    return low.unary("softplus", call["self"], call.number("beta"), call.number("threshold"))


def _gelu(low: Lowering, call: Call) -> View:
    return low.unary("gelu_tanh" if call["approximate"] == "tanh" else "gelu", call["self"])


def _log_sigmoid(low: Lowering, call: Call) -> list[View]:
    return [low.unary("logsigmoid", call["self"])]


def _softshrink(low: Lowering, call: Call) -> View:
    x, width = call["self"], call.number("lambd")
    return low.sub(x, low.unary("clamp", x, -width, width))


def _tanh_backward(low: Lowering, call: Call) -> View:
    y = call["output"]
    return low.mul(call["grad_output"], low.scaled(low.mul(y, y), -1.0, 1.0))


def _sigmoid_backward(low: Lowering, call: Call) -> View:
    y = call["output"]
    return low.mul(call["grad_output"], low.mul(y, low.scaled(y, -1.0, 1.0)))


def _glu(low: Lowering, call: Call) -> View:
    x: View = call["self"]
    dim = int(call.number("dim")) % x.positions.ndim
    if dim == x.axis:
        raise Refusal("glu splits the batch")
    half = x.positions.shape[dim] // 2
    ahead = (slice(None),) * dim
    value = x.showing(x.positions[(*ahead, slice(0, half))], x.axis)
    gate = x.showing(x.positions[(*ahead, slice(half, None))], x.axis)
    return low.mul(value, low.unary("sigmoid", gate))


def _addcmul(low: Lowering, call: Call) -> View:
    product = low.mul(call["tensor1"], call["tensor2"])
    return low.add(call["self"], low.scaled(product, call.number("value")))


def _addcdiv(low: Lowering, call: Call) -> View:
    quotient = low.div(call["tensor1"], call["tensor2"])
    return low.add(call["self"], low.scaled(quotient, call.number("value")))


def _lerp(low: Lowering, call: Call) -> View:
    start = call["self"]
    return low.add(start, low.mul(low.sub(call["end"], start), _operand(low, call, "weight")))


ELEMENTWISE: dict[str, Rule] = {
    **{name: _plain(name) for name in _SAME_NAME.split()},
    "sgn": _plain("sign"),
    "add": _add,
    "sub": _sub,
    "rsub": _rsub,
    "mul": _mul,
    "div": _div,
    "pow": _pow,
    "maximum": _binary("maximum"),
    "minimum": _binary("minimum"),
    "rsqrt": _rsqrt,
    "log2": _logarithm(2.0),
    "log10": _logarithm(10.0),
    "exp2": _exp2,
    "clamp": _clamp,
    "clamp_min": _clamp,
    "clamp_max": _clamp,
    "hardtanh": _hardtanh,
    "elu": _elu,
    "celu": _celu,
    "leaky_relu": _leaky_relu,
    "_prelu_kernel": _prelu,
    "softplus": _softplus,
    "gelu": _gelu,
    "log_sigmoid_forward": _log_sigmoid,
    "softshrink": _softshrink,
    "glu": _glu,
    "tanh_backward": _tanh_backward,
    "sigmoid_backward": _sigmoid_backward,
    "addcmul": _addcmul,
    "addcdiv": _addcdiv,
    "lerp": _lerp,
}
