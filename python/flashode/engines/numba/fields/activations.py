"""The Program's activations: values and vjps, as in ``unary.py``."""

from __future__ import annotations

import math

from flashode.engines.numba.fields import double, elementary
from flashode.engines.numba.fields.chained import Table, chained, scaled
from flashode.engines.numba.machine_code import at_least, at_most, choose, rounded_as

_TABLE = Table(arguments=1)
ACTIVATIONS = _TABLE.functions

_PER_ROOT_TWO_PI = 1.0 / math.sqrt(2.0 * math.pi)
_GATE_LINEAR, _GATE_CUBIC = double.GELU_TANH_LINEAR, double.GELU_TANH_CUBIC


# Smooth activations. Where a sigmoid multiplies x, minus infinity gives NaN, as in torch.


@_TABLE.value
def tanh(x):
    return elementary.tanh(x)


@_TABLE.vjp
def tanh_vjp(grad, _x, y):
    return scaled(grad, 1.0 - y * y)


@_TABLE.value
def sigmoid(x):
    return elementary.sigmoid(x)


@_TABLE.vjp
def sigmoid_vjp(grad, _x, y):
    return scaled(grad, y * (1.0 - y))


@_TABLE.value
def logsigmoid(x):
    return -elementary.softplus(-x)


@_TABLE.vjp
def logsigmoid_vjp(grad, x, _y):
    return scaled(grad, elementary.sigmoid(-x))


@_TABLE.value
def silu(x):
    return x * elementary.sigmoid(x)


@_TABLE.vjp
def silu_vjp(grad, x, _y):
    s = elementary.sigmoid(x)
    return scaled(grad, s + s * (x * (1.0 - s)))


@_TABLE.value
def mish(x):
    return x * double.tanh_softplus(x)


@_TABLE.vjp
def mish_vjp(grad, x, _y):
    s = double.tanh_softplus(x)
    return scaled(grad, s + x * (elementary.sigmoid(x) * (1.0 - s * s)))


@_TABLE.value
def gelu(x):
    return double.gelu(x)


@_TABLE.vjp
def gelu_vjp(grad, x, _y):
    density = _PER_ROOT_TWO_PI * double.exp_minus_half_square(x)
    return scaled(grad, double.normal_cdf(x) + x * density)


@_TABLE.value
def gelu_tanh(x):
    return x * double.gelu_tanh_gate(x)


@_TABLE.vjp
def gelu_tanh_vjp(grad, x, _y):
    s = double.gelu_tanh_gate(x)
    # The slope of the argument of the gate's sigmoid.
    inner = _GATE_LINEAR + 3.0 * _GATE_CUBIC * (x * x)
    return scaled(grad, s + (x * (s * (1.0 - s))) * inner)


@_TABLE.value
def softplus(x, beta, threshold):
    z = rounded_as(beta, x) * x
    return choose(z > threshold, x, elementary.softplus(z) / beta)


@_TABLE.vjp
def softplus_vjp(grad, x, _y, beta, threshold):
    z = rounded_as(beta, x) * x
    return scaled(grad, choose(z > threshold, 1.0, elementary.sigmoid(z)))


@_TABLE.value
def elu(x, alpha, scale, input_scale):
    negative = alpha * scale * elementary.expm1(rounded_as(input_scale, x) * x)
    return choose(x <= 0.0, negative, scale * x)


@_TABLE.vjp
def elu_vjp(grad, x, y, alpha, scale, input_scale):
    negative = input_scale * (y + alpha * scale)
    return scaled(grad, choose(x <= 0.0, negative, scale))


# Piecewise linear or quadratic activations.


@_TABLE.value
def relu(x):
    return choose(x <= 0.0, 0.0, x)


@_TABLE.vjp
def relu_vjp(grad, _x, y):
    return chained(~(y <= 0.0), grad, 1.0)


@_TABLE.value
def leaky_relu(x, slope):
    return choose(x > 0.0, x, slope * x)


@_TABLE.vjp
def leaky_relu_vjp(grad, x, _y, slope):
    return scaled(grad, choose(x > 0.0, 1.0, slope))


@_TABLE.value
def hardtanh(x, least, most):
    return at_most(at_least(x, least), most)


@_TABLE.vjp
def hardtanh_vjp(grad, x, _y, least, most):
    return chained(~((x <= least) | (x >= most)), grad, 1.0)


# The same values, but a gradient of one on the boundary.
@_TABLE.value
def clamp(x, least, most):
    return at_most(at_least(x, least), most)


@_TABLE.vjp
def clamp_vjp(grad, x, _y, least, most):
    return chained((x >= least) & (x <= most), grad, 1.0)


@_TABLE.value
def hardsigmoid(x):
    return at_most(at_least(x + 3.0, 0.0), 6.0) / 6.0


@_TABLE.vjp
def hardsigmoid_vjp(grad, x, _y):
    return chained((x > -3.0) & (x < 3.0), grad, 1.0 / 6.0)


@_TABLE.value
def hardswish(x):
    raised = at_most(at_least(x + 3.0, 0.0), 6.0)
    return x * rounded_as(raised, x) / rounded_as(6.0, x)


@_TABLE.vjp
def hardswish_vjp(grad, x, _y):
    slope = choose(x < 3.0, x / 3.0 + 0.5, 1.0)
    return chained(~(x <= -3.0), grad, slope)
