"""The Program's exponentials, logarithms and what is made of them: values and vjps, as in ``unary.py``."""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba import machine_code as machine
from flashode.engines.numba.fields import double, elementary
from flashode.engines.numba.fields.chained import Table, chained, scaled
from flashode.engines.numba.machine_code import at_least, at_most, choose, rounded_as

_TABLE = Table(arguments=1)
EXPONENTIALS = _TABLE.functions

_NAN = math.nan
_LN2 = math.log(2.0)
_LN10 = math.log(10.0)
_TWO_PER_ROOT_PI = 2.0 / math.sqrt(math.pi)


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
