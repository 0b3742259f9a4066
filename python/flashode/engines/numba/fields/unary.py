"""The Program's unary functions: values and vjps, with torch's kinks, masks and NaN.

A value is made of (x, *constants), a vjp of (grad, x, y, *constants), where y is the value; an argument that
a vjp does not read has an underscore. What they give may be of double precision: who stores it rounds it.
"""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba import machine_code as machine
from flashode.engines.numba.fields import double, elementary
from flashode.engines.numba.fields.activations import ACTIVATIONS
from flashode.engines.numba.fields.chained import Table, chained, none_of, scaled
from flashode.engines.numba.machine_code import (
    absolute,
    at_least,
    at_most,
    choose,
    inlined,
    rounded_as,
    square_root,
)

_TABLE = Table(arguments=1)

_PI = math.pi
_NAN = math.nan
_LN2 = math.log(2.0)
_LN10 = math.log(10.0)
_TWO_PER_ROOT_PI = 2.0 / math.sqrt(math.pi)

# Steps, and what is taken for constant.


@_TABLE.value
def sign(x):
    return choose(x > 0.0, 1.0, choose(x < 0.0, -1.0, 0.0))


@_TABLE.vjp
def sign_vjp(grad, _x, _y):
    return none_of(grad)


@_TABLE.value
def floor(x):
    return machine.floor(x)


@_TABLE.vjp
def floor_vjp(grad, _x, _y):
    return none_of(grad)


@_TABLE.value
def ceil(x):
    return machine.ceil(x)


@_TABLE.vjp
def ceil_vjp(grad, _x, _y):
    return none_of(grad)


@_TABLE.value
def round_(x):
    return machine.round_to_even(x)


@_TABLE.vjp
def round_vjp(grad, _x, _y):
    return none_of(grad)


@_TABLE.value
def trunc(x):
    return machine.truncate(x)


@_TABLE.vjp
def trunc_vjp(grad, _x, _y):
    return none_of(grad)


@_TABLE.value
def detach(x):
    return x


@_TABLE.vjp
def detach_vjp(grad, _x, _y):
    return none_of(grad)


# Arithmetic and roots.


@_TABLE.value
def neg(x):
    return -x


@_TABLE.vjp
def neg_vjp(grad, _x, _y):
    return -grad


@_TABLE.value
def abs_(x):
    return absolute(x)


@_TABLE.vjp
def abs_vjp(grad, x, _y):
    return scaled(grad, sign(x))


@_TABLE.value
def reciprocal(x):
    return 1.0 / x


@_TABLE.vjp
def reciprocal_vjp(grad, _x, y):
    return scaled(grad, -y * y)


@_TABLE.value
def sqrt(x):
    return square_root(x)


@_TABLE.vjp
def sqrt_vjp(grad, _x, y):
    return scaled(grad, 0.5 / y)


@_TABLE.value
def rsqrt(x):
    return 1.0 / square_root(x)


@_TABLE.vjp
def rsqrt_vjp(grad, _x, y):
    return scaled(grad, rounded_as(-0.5, y) * (y * y * y))


@_TABLE.value
def affine(x, scale, shift):
    return x * scale + shift


@_TABLE.vjp
def affine_vjp(grad, _x, _y, scale, _shift):
    return scaled(grad, scale)


# Exponentials and logarithms.


@_TABLE.value
def exp(x):
    return elementary.exp(x)


@_TABLE.vjp
def exp_vjp(grad, _x, y):
    return scaled(grad, y)


@_TABLE.value
def exp2(x):
    return machine.exp2(np.float64(x))


@_TABLE.vjp
def exp2_vjp(grad, _x, y):
    return scaled(grad, y * _LN2)


@_TABLE.value
def expm1(x):
    return elementary.expm1(x)


@_TABLE.vjp
def expm1_vjp(grad, _x, y):
    return scaled(grad, y + 1.0)


@_TABLE.value
def log(x):
    return double.log(x)


@_TABLE.vjp
def log_vjp(grad, x, _y):
    return scaled(grad, 1.0 / x)


@_TABLE.value
def log2(x):
    return machine.log2(np.float64(x))


@_TABLE.vjp
def log2_vjp(grad, x, _y):
    return scaled(grad, 1.0 / (x * _LN2))


@_TABLE.value
def log10(x):
    return machine.log10(np.float64(x))


@_TABLE.vjp
def log10_vjp(grad, x, _y):
    return scaled(grad, 1.0 / (x * _LN10))


@_TABLE.value
def log1p(x):
    return double.log1p(x)


@_TABLE.vjp
def log1p_vjp(grad, x, _y):
    return scaled(grad, 1.0 / (1.0 + x))


@_TABLE.value
def erf(x):
    return double.erf(x)


@_TABLE.vjp
def erf_vjp(grad, x, _y):
    return scaled(grad, _TWO_PER_ROOT_PI * double.exp_minus_square(x))


# Trigonometry. Of sin and cos these are exact where `double.TRIGONOMETRIC_LIMIT` says; `rows.py` knows
# what to do beyond.


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


# Clamped to where both x and 1 - x are eps or more, if eps is not negative. The slope, unlike the
# logarithm's, is NaN outside the unit interval.
@_TABLE.value
def logit(x, eps):
    top = rounded_as(1.0, eps) - eps
    z = choose(eps < 0.0, x, at_most(at_least(x, eps), top))
    return double.log(z / (1.0 - z))


@_TABLE.vjp
def logit_vjp(grad, x, _y, eps):
    top = rounded_as(1.0, eps) - eps
    passes = (eps < 0.0) | ((x >= eps) & (x <= top))
    slope = choose((x < 0.0) | (x > 1.0), _NAN, 1.0 / (x * (1.0 - x)))
    return chained(passes, grad, slope)


# What torch has a cheaper form of, it computes in that: of -0.0 and minus infinity they differ.
CHEAP_POWERS = (2.0, 3.0, 1.0, 0.5, -0.5, -1.0, -2.0)


@inlined
def _power(x, p):
    if p == 2.0:
        return np.float64(x * x)
    if p == 3.0:
        return np.float64(x * x * x)
    if p == 1.0:
        return np.float64(x)
    if p == 0.5:
        return np.float64(square_root(x))
    if p == -0.5:
        return 1.0 / square_root(x)
    if p == -1.0:
        return 1.0 / x
    if p == -2.0:
        return 1.0 / (x * x)
    return math.pow(np.float64(x), np.float64(p))


@_TABLE.value
def power(x, exponent):
    return _power(x, exponent)


@_TABLE.vjp
def power_vjp(grad, x, _y, exponent):
    return chained(exponent != 0.0, grad, exponent * _power(x, exponent - rounded_as(1.0, exponent)))


UNARY = {**_TABLE.functions, **ACTIVATIONS}
