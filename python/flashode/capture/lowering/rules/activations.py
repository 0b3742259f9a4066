"""The activations of ``torch.nn``, with torch's conventions at their kinks."""

from __future__ import annotations

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import same
from flashode.capture.refusal import EVALUATION, Refusal

_SAME_NAME = "sigmoid relu silu mish hardsigmoid hardswish"


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


def _rrelu(low: Lowering, call: Call) -> View:
    if call["training"]:
        raise Refusal("rrelu draws random numbers", remedy=EVALUATION)
    return low.unary("leaky_relu", call["self"], (call.number("lower") + call.number("upper")) / 2)


def _prelu(low: Lowering, call: Call) -> View:
    return low.binary("prelu", call["self"], call["weight"])


def _softplus(low: Lowering, call: Call) -> View:
    return low.unary("softplus", call["self"], call.number("beta"), call.number("threshold"))


def _gelu(low: Lowering, call: Call) -> View:
    return low.unary("gelu_tanh" if call["approximate"] == "tanh" else "gelu", call["self"])


def _log_sigmoid(low: Lowering, call: Call) -> list[View]:
    x = call["self"]
    result = low.unary("logsigmoid", x)
    if call.shapes[1] != call.shapes[0]:
        # Only some devices keep something for the gradient.
        return [result, low.empty(call, 1)]
    return [result, low.unary("exp", low.scaled(low.unary("abs", x), -1.0))]


def _softshrink(low: Lowering, call: Call) -> View:
    x, width = call["self"], call.number("lambd")
    return low.sub(x, low.unary("clamp", x, -width, width))


def _hardshrink(low: Lowering, call: Call) -> View:
    x = call["self"]
    small = low.compared("le", low.unary("abs", x), call.number("lambd"))
    return low.select(small, low.constant(0.0), x)


def _threshold(low: Lowering, call: Call) -> View:
    x = call["self"]
    below = low.compared("le", x, call.number("threshold"))
    return low.select(below, low.constant(call.number("value")), x)


def halves(call: Call, x: View) -> tuple[View, View]:
    """A tensor cut in two along the dimension of a gated linear unit."""
    dim = call.dim(x)
    half = x.positions.shape[dim] // 2
    ahead = (slice(None),) * dim
    value = x.showing(x.positions[(*ahead, slice(0, half))], x.axis)
    return value, x.showing(x.positions[(*ahead, slice(half, None))], x.axis)


def _glu(low: Lowering, call: Call) -> View:
    value, gate = halves(call, call["self"])
    return low.mul(value, low.unary("sigmoid", gate))


ACTIVATIONS: dict[str, Rule] = {
    **{name: same(name) for name in _SAME_NAME.split()},
    "hardtanh": _hardtanh,
    "elu": _elu,
    "celu": _celu,
    "leaky_relu": _leaky_relu,
    "rrelu_with_noise": _rrelu,
    "_prelu_kernel": _prelu,
    "softplus": _softplus,
    "gelu": _gelu,
    "log_sigmoid_forward": _log_sigmoid,
    "softshrink": _softshrink,
    "hardshrink": _hardshrink,
    "threshold": _threshold,
    "glu": _glu,
}
