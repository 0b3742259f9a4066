"""What autograd makes of activations, for fields that differentiate inside.

Each is built of operations that are differentiated again. A branch that is not taken is given an argument at
which its own derivative is finite, because zero times an infinite derivative is not zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from flashode.capture.lowering.rules.activations import halves, mean_slope
from flashode.capture.lowering.rules.context import Call, Lowering, Rule, View


def _where_at_most(low: Lowering, x: View, bound: float, a: View, b: View) -> View:
    return low.select(low.compared("le", x, bound), a, b)


def _times(slope: Callable[[Lowering, View], View], of: str = "self") -> Rule:
    """The gradient in the result times a slope."""
    return lambda low, call: low.mul(call["grad_output"], slope(low, call[of]))


def _tanh(low: Lowering, y: View) -> View:
    return low.scaled(low.mul(y, y), -1.0, 1.0)


def _sigmoid(low: Lowering, y: View) -> View:
    return low.mul(y, low.scaled(y, -1.0, 1.0))


def _threshold(low: Lowering, call: Call) -> View:
    x = call["self"]
    return _where_at_most(low, x, call.number("threshold"), low.constant(0.0), call["grad_output"])


def _elu(low: Lowering, call: Call) -> View:
    gradient, x = call["grad_output"], call["self_or_result"]
    negative, scale = call.number("alpha") * call.number("scale"), call.number("scale")
    rate = call.number("input_scale")
    # Torch differentiates no further where the two pieces meet.
    below = low.select(low.compared("lt", x, 0.0), x, low.constant(0.0))
    if call["is_result"]:
        slope = low.scaled(below, rate, negative * rate)
    else:
        slope = low.scaled(low.unary("exp", low.scaled(below, rate)), negative * rate)
    return _where_at_most(low, x, 0.0, low.mul(gradient, slope), low.scaled(gradient, scale))


def _leaky(slope: Callable[[Call], float]) -> Rule:
    def rule(low: Lowering, call: Call) -> View:
        gradient = call["grad_output"]
        positive = low.compared("lt", low.constant(0.0), call["self"])
        return low.select(positive, gradient, low.scaled(gradient, slope(call)))

    return rule


def _prelu(low: Lowering, call: Call) -> list[View]:
    gradient, x, zero = call["grad_output"], call["self"], low.constant(0.0)
    product = low.mul(call["weight"], gradient)
    # At zero torch's value is that of the lower piece, and its second derivatives are those of the upper one.
    meeting = low.add(gradient, low.without_gradient(low.sub(product, gradient)))
    lower = low.select(low.compared("eq", x, 0.0), meeting, product)
    in_self = low.select(low.compared("lt", zero, x), gradient, lower)
    return [in_self, low.select(low.compared("le", zero, x), zero, low.mul(x, gradient))]


def _hardtanh(low: Lowering, call: Call) -> View:
    x, zero = call["self"], low.constant(0.0)
    top = low.constant(call.number("max_val"))
    below_top = low.select(low.compared("le", top, x), zero, call["grad_output"])
    return _where_at_most(low, x, call.number("min_val"), zero, below_top)


def _hardswish(low: Lowering, call: Call) -> View:
    gradient, x = call["grad_output"], call["self"]
    middle = low.mul(gradient, low.scaled(x, 1.0 / 3.0, 0.5))
    upper = low.select(low.compared("lt", x, 3.0), middle, gradient)
    return _where_at_most(low, x, -3.0, low.constant(0.0), upper)


def _shrink(low: Lowering, call: Call) -> View:
    small = low.compared("le", low.unary("abs", call["self"]), call.number("lambd"))
    gradient = call["grad_output"] if "grad_output" in call.arguments else call["grad_out"]
    return low.select(small, low.constant(0.0), gradient)


def _log_sigmoid(low: Lowering, x: View) -> View:
    return low.unary("sigmoid", low.scaled(x, -1.0))


def _softplus(low: Lowering, call: Call) -> View:
    gradient, scaled = call["grad_output"], low.scaled(call["self"], call.number("beta"))
    threshold = call.number("threshold")
    linear = low.compared("lt", low.constant(threshold), scaled)
    # Torch differentiates no further where the two pieces meet.
    meeting = low.constant(threshold)
    curved = low.select(low.compared("le", meeting, scaled), meeting, scaled)
    return low.select(linear, gradient, low.mul(gradient, low.unary("sigmoid", curved)))


def _silu(low: Lowering, x: View) -> View:
    gate = low.unary("sigmoid", x)
    rest = low.mul(x, low.scaled(gate, -1.0, 1.0))
    return low.mul(gate, low.scaled(rest, 1.0, 1.0))


def _mish(low: Lowering, x: View) -> View:
    soft = low.unary("tanh", low.unary("softplus", x, 1.0, 20.0))
    return low.add(soft, low.mul(x, low.mul(low.unary("sigmoid", x), _tanh(low, soft))))


def _gelu(low: Lowering, call: Call) -> View:
    x, gradient = call["self"], call["grad_output"]
    if call["approximate"] == "tanh":
        return low.mul(gradient, _gelu_tanh_slope(low, x))
    distribution = low.scaled(low.unary("erf", low.scaled(x, math.sqrt(0.5))), 0.5, 0.5)
    bell = low.unary("exp", low.scaled(low.mul(x, x), -0.5))
    density = low.scaled(bell, 1.0 / math.sqrt(2.0 * math.pi))
    return low.mul(gradient, low.add(distribution, low.mul(x, density)))


def _gelu_tanh_slope(low: Lowering, x: View) -> View:
    factor, cubic = math.sqrt(2.0 / math.pi), 0.044715
    square = low.mul(x, x)
    inner = low.mul(x, low.scaled(square, factor * cubic, factor))
    gate = low.unary("tanh", inner)
    slope = low.mul(_tanh(low, gate), low.scaled(square, 3 * factor * cubic, factor))
    return low.add(low.scaled(gate, 0.5, 0.5), low.scaled(low.mul(x, slope), 0.5))


def _glu(low: Lowering, call: Call) -> View:
    gradient, x = call["grad_output"], call["self"]
    value, gate = halves(call, x)
    opened = low.unary("sigmoid", gate)
    in_value = low.mul(gradient, opened)
    in_gate = low.mul(low.mul(in_value, low.scaled(opened, -1.0, 1.0)), value)
    return low.new(np.concatenate([in_value.rows, in_gate.rows], call.dim(x)), x.axis)


ACTIVATION_GRADIENTS: dict[str, Rule] = {
    "tanh_backward": _times(_tanh, of="output"),
    "sigmoid_backward": _times(_sigmoid, of="output"),
    "threshold_backward": _threshold,
    "elu_backward": _elu,
    "leaky_relu_backward": _leaky(lambda call: call.number("negative_slope")),
    "rrelu_with_noise_backward": _leaky(mean_slope),
    "_prelu_kernel_backward": _prelu,
    "hardtanh_backward": _hardtanh,
    "hardswish_backward": _hardswish,
    "softshrink_backward": _shrink,
    "hardshrink_backward": _shrink,
    "log_sigmoid_backward": _times(_log_sigmoid),
    "softplus_backward": _softplus,
    "silu_backward": _times(_silu),
    "mish_backward": _times(_mish),
    "gelu_backward": _gelu,
    "glu_backward": _glu,
}
