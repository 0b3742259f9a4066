"""The Program's unary functions: values and vjps, with torch's kinks, masks and NaN.

A value is made of (x, *constants), a vjp of (grad, x, y, *constants), where y is the value; an argument that
a vjp does not read has an underscore. What they give may be of double precision: who stores it rounds it.
"""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba import machine_code as machine
from flashode.engines.numba.fields.activations import ACTIVATIONS
from flashode.engines.numba.fields.chained import Table, chained, none_of, scaled
from flashode.engines.numba.fields.exponentials import EXPONENTIALS
from flashode.engines.numba.fields.trigonometry import TRIGONOMETRY
from flashode.engines.numba.machine_code import absolute, choose, inlined, rounded_as, square_root

_TABLE = Table(arguments=1)


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


UNARY = {**_TABLE.functions, **EXPONENTIALS, **TRIGONOMETRY, **ACTIVATIONS}
