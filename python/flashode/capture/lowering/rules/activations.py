"""The activations of ``torch.nn``, with torch's conventions at their kinks."""

from __future__ import annotations

import numpy as np

from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View
from flashode.capture.lowering.rules.elementwise import pairwise, same
from flashode.capture.refusal import EVALUATION, Refusal

_SAME_NAME = "sigmoid relu silu mish hardsigmoid hardswish"


def _celu(low: Lowering, call: Call) -> View:
    alpha = call.number("alpha")
    return low.unary("elu", call["self"], alpha, 1.0, 1.0 / alpha)


def mean_slope(call: Call) -> float:
    """The slope below zero of a randomised leaky relu that draws nothing."""
    return (call.number("lower") + call.number("upper")) / 2


def _rrelu(low: Lowering, call: Call) -> View:
    if call["training"]:
        raise Refusal("rrelu draws random numbers", remedy=EVALUATION)
    return low.unary("leaky_relu", call["self"], mean_slope(call))


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
    value, gate = np.split(x.positions, 2, dim)
    return x.showing(value, x.axis), x.showing(gate, x.axis)


def _glu(low: Lowering, call: Call) -> View:
    value, gate = halves(call, call["self"])
    return low.mul(value, low.unary("sigmoid", gate))


ACTIVATIONS: dict[str, Rule] = {
    **{name: same(name) for name in _SAME_NAME.split()},
    "hardtanh": same("hardtanh", "min_val", "max_val"),
    "elu": same("elu", "alpha", "scale", "input_scale"),
    "celu": _celu,
    "leaky_relu": same("leaky_relu", "negative_slope"),
    "rrelu_with_noise": _rrelu,
    "_prelu_kernel": pairwise("prelu", "weight"),
    "softplus": same("softplus", "beta", "threshold"),
    "gelu": _gelu,
    "log_sigmoid_forward": _log_sigmoid,
    "softshrink": _softshrink,
    "hardshrink": _hardshrink,
    "threshold": _threshold,
    "glu": _glu,
}
