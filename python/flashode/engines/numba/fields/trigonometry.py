"""The Program's trigonometric and hyperbolic functions: values and vjps, as in ``unary.py``."""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba.fields import double
from flashode.engines.numba.fields.chained import Table, chained, scaled
from flashode.engines.numba.machine_code import absolute, choose, rounded_as, square_root

_TABLE = Table(arguments=1)
TRIGONOMETRY = _TABLE.functions

_PI = math.pi

# These are exact where `double.TRIGONOMETRIC_LIMIT` says; `rows.py` knows what to do beyond.


@_TABLE.value
def sin(x):
    return double.sin_moderate(x)


@_TABLE.vjp
def sin_vjp(grad, x, _y):
    return scaled(grad, double.cos_moderate(x))


@_TABLE.value
def cos(x):
    return double.cos_moderate(x)


@_TABLE.vjp
def cos_vjp(grad, x, _y):
    return scaled(grad, -double.sin_moderate(x))


@_TABLE.value
def tan(x):
    return math.tan(np.float64(x))


@_TABLE.vjp
def tan_vjp(grad, _x, y):
    return scaled(grad, 1.0 + y * y)


@_TABLE.value
def asin(x):
    return math.asin(np.float64(x))


@_TABLE.vjp
def asin_vjp(grad, x, _y):
    return scaled(grad, 1.0 / square_root((1.0 - x) * (1.0 + x)))


@_TABLE.value
def acos(x):
    return math.acos(np.float64(x))


@_TABLE.vjp
def acos_vjp(grad, x, _y):
    return scaled(grad, -1.0 / square_root((1.0 - x) * (1.0 + x)))


@_TABLE.value
def atan(x):
    return math.atan(np.float64(x))


@_TABLE.vjp
def atan_vjp(grad, x, _y):
    return scaled(grad, 1.0 / (1.0 + x * x))


@_TABLE.value
def sinh(x):
    return math.sinh(np.float64(x))


@_TABLE.vjp
def sinh_vjp(grad, x, _y):
    return scaled(grad, math.cosh(np.float64(x)))


@_TABLE.value
def cosh(x):
    return math.cosh(np.float64(x))


@_TABLE.vjp
def cosh_vjp(grad, x, _y):
    return scaled(grad, math.sinh(np.float64(x)))


@_TABLE.value
def asinh(x):
    return math.asinh(np.float64(x))


@_TABLE.vjp
def asinh_vjp(grad, x, _y):
    return scaled(grad, 1.0 / square_root(x * x + 1.0))


@_TABLE.value
def acosh(x):
    return math.acosh(np.float64(x))


@_TABLE.vjp
def acosh_vjp(grad, x, _y):
    size = absolute(x)
    return scaled(grad, 1.0 / square_root((size - 1.0) * (size + 1.0)))


@_TABLE.value
def atanh(x):
    return math.atanh(np.float64(x))


@_TABLE.vjp
def atanh_vjp(grad, x, _y):
    return scaled(grad, 1.0 / ((1.0 - x) * (1.0 + x)))


# Where the slope is 0 / 0 by rounding, it has none.
@_TABLE.value
def sinc(x):
    z = rounded_as(_PI, x) * x
    return choose(x == 0.0, 1.0, math.sin(np.float64(z)) / z)


@_TABLE.vjp
def sinc_vjp(grad, x, _y):
    pi = rounded_as(_PI, x)
    z = pi * x
    square = x * x * pi
    slope = (z * math.cos(np.float64(z)) - math.sin(np.float64(z))) / square
    return chained(square != 0.0, grad, slope)
