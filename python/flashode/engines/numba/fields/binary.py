"""The Program's binary functions: values and vjps, with torch's conventions.

A value is made of (a, b), a vjp of (grad, a, b, y), where y is the value: the gradients in a and in b. An
argument that a vjp does not read has an underscore.
"""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba import machine_code as machine
from flashode.engines.numba.fields import double, elementary
from flashode.engines.numba.fields.chained import Table, chained, none_of, scaled
from flashode.engines.numba.machine_code import (
    absolute,
    choose,
    inlined,
    rounded_as,
    square_root,
    with_sign_of,
)

_TABLE = Table(arguments=2)
BINARY = _TABLE.functions

_INFINITY = math.inf
_LN2 = math.log(2.0)


# Arithmetic.


@_TABLE.value
def add(a, b):
    return a + b


@_TABLE.vjp
def add_vjp(grad, _a, _b, _y):
    return grad, grad


@_TABLE.value
def sub(a, b):
    return a - b


@_TABLE.vjp
def sub_vjp(grad, _a, _b, _y):
    return grad, -grad


@_TABLE.value
def mul(a, b):
    return a * b


@_TABLE.vjp
def mul_vjp(grad, a, b, _y):
    return grad * b, grad * a


@_TABLE.value
def div(a, b):
    return a / b


@_TABLE.vjp
def div_vjp(grad, _a, b, y):
    return scaled(grad, 1.0 / b), scaled(grad, -y / b)


# NaN in either argument wins: in a by the second test, in b because every comparison with it is false.


@_TABLE.value
def maximum(a, b):
    return choose((a > b) | (a != a), a, b)


@_TABLE.vjp
def maximum_vjp(grad, a, b, _y):
    slope = choose(a == b, 0.5, 1.0)
    return chained(~(a < b), grad, slope), chained(~(a > b), grad, slope)


@_TABLE.value
def minimum(a, b):
    return choose((a < b) | (a != a), a, b)


@_TABLE.vjp
def minimum_vjp(grad, a, b, _y):
    slope = choose(a == b, 0.5, 1.0)
    return chained(~(a > b), grad, slope), chained(~(a < b), grad, slope)


@_TABLE.value
def power(a, b):
    return math.pow(np.float64(a), np.float64(b))


@_TABLE.vjp
def power_vjp(grad, a, b, y):
    to_a = b * math.pow(np.float64(a), np.float64(b - rounded_as(1.0, b)))
    # The slope is masked, where a is zero, and not the gradient.
    to_b = choose((a == 0.0) & (b >= 0.0), 0.0, y * double.log(a))
    return chained(b != 0.0, grad, to_a), scaled(grad, to_b)


# Lengths and angles.


@_TABLE.value
def atan2(a, b):
    return math.atan2(np.float64(a), np.float64(b))


@_TABLE.vjp
def atan2_vjp(grad, a, b, _y):
    # The angle of the origin has no gradient.
    square = a * a + b * b
    per_square = rounded_as(choose(square == 0.0, 0.0, 1.0 / square), a)
    return scaled(grad, b * per_square), scaled(grad, -a * per_square)


@_TABLE.value
def hypot(a, b):
    """Of numbers near one, so that no square overflows or vanishes."""
    width, height = absolute(a), absolute(b)
    size = choose(width > height, width, height)
    unit = choose(size == 0.0, 1.0, size)
    x, y = width / unit, height / unit
    length = size * square_root(x * x + y * y)
    return choose((width == _INFINITY) | (height == _INFINITY), _INFINITY, length)


@_TABLE.vjp
def hypot_vjp(grad, a, b, y):
    return scaled(grad, a / y), scaled(grad, b / y)


# Logarithms.


@inlined
def _log_of_sum(a, b, rate):
    """log(base**a + base**b), where rate = log(base). Infinities may be equal, but have no difference."""
    larger = choose((a > b) | (a != a), a, b)
    rest = double.log1p_unit(double.exp(-rate * absolute(np.float64(a) - b)))
    same = (a == b) & (absolute(a) == _INFINITY)
    return choose(same, a, larger + rest / rate)


@_TABLE.value
def logaddexp(a, b):
    return _log_of_sum(a, b, 1.0)


@_TABLE.vjp
def logaddexp_vjp(grad, a, b, _y):
    return scaled(grad, elementary.sigmoid(a - b)), scaled(grad, elementary.sigmoid(b - a))


@_TABLE.value
def logaddexp2(a, b):
    return _log_of_sum(a, b, _LN2)


@_TABLE.vjp
def logaddexp2_vjp(grad, a, b, _y):
    to_a, to_b = elementary.sigmoid(_LN2 * (a - b)), elementary.sigmoid(_LN2 * (b - a))
    return scaled(grad, to_a), scaled(grad, to_b)


# Zero times anything is zero in these, but for NaN; torch multiplies the gradient by the logarithm likewise.


@_TABLE.value
def xlogy(a, b):
    return choose((a == 0.0) & (b == b), 0.0, a * double.log(b))


@_TABLE.vjp
def xlogy_vjp(grad, a, b, _y):
    passes = ~((a == 0.0) & (b <= 0.0)) & ((grad != 0.0) | (b != b))
    return chained(passes, grad, double.log(b)), scaled(grad, a / b)


@_TABLE.value
def xlog1py(a, b):
    return choose((a == 0.0) & (b == b), 0.0, a * double.log1p(b))


@_TABLE.vjp
def xlog1py_vjp(grad, a, b, _y):
    passes = ~((a == 0.0) & (b <= -1.0)) & ((grad != 0.0) | (b != b))
    return chained(passes, grad, double.log1p(b)), scaled(grad, a / (b + 1.0))


@_TABLE.value
def prelu(a, b):
    return choose(a > 0.0, a, b * a)


@_TABLE.vjp
def prelu_vjp(grad, a, b, _y):
    return scaled(grad, choose(a > 0.0, 1.0, b)), chained(~(a > 0.0), grad, a)


# Divisions that round.


@inlined
def _floor_division(a, b):
    """The quotient rounded downwards, and what it leaves of a, which has the sign of b."""
    a, b = np.float64(a), np.float64(b)
    rest = machine.rest_of_division(a, b)
    turn = (rest != 0.0) & ((b < 0.0) != (rest < 0.0))
    # floor(a / b) is one too much where the quotient rounds up to a whole number.
    whole = machine.round_to_even((a - rest) / b) - choose(turn, 1.0, 0.0)
    return choose(b == 0.0, a / b, whole), choose(turn, rest + b, rest)


@_TABLE.value
def floor_divide(a, b):
    quotient, _ = _floor_division(a, b)
    return choose(quotient == 0.0, with_sign_of(0.0, a / b), quotient)


@_TABLE.vjp
def floor_divide_vjp(grad, _a, _b, _y):
    return none_of(grad), none_of(grad)


@_TABLE.value
def trunc_divide(a, b):
    return machine.truncate(a / b)


@_TABLE.vjp
def trunc_divide_vjp(grad, _a, _b, _y):
    return none_of(grad), none_of(grad)


@_TABLE.value
def fmod(a, b):
    return machine.rest_of_division(np.float64(a), np.float64(b))


@_TABLE.vjp
def fmod_vjp(grad, a, b, _y):
    return grad, scaled(grad, -machine.truncate(a / b))


@_TABLE.value
def remainder(a, b):
    _, rest = _floor_division(a, b)
    return rest


@_TABLE.vjp
def remainder_vjp(grad, a, b, _y):
    quotient, _ = _floor_division(a, b)
    return grad, scaled(grad, -quotient)


# Comparisons: one where they hold, zero elsewhere.


@_TABLE.value
def lt(a, b):
    return choose(a < b, 1.0, 0.0)


@_TABLE.vjp
def lt_vjp(grad, _a, _b, _y):
    return none_of(grad), none_of(grad)


@_TABLE.value
def le(a, b):
    return choose(a <= b, 1.0, 0.0)


@_TABLE.vjp
def le_vjp(grad, _a, _b, _y):
    return none_of(grad), none_of(grad)


@_TABLE.value
def eq(a, b):
    return choose(a == b, 1.0, 0.0)


@_TABLE.vjp
def eq_vjp(grad, _a, _b, _y):
    return none_of(grad), none_of(grad)


@_TABLE.value
def ne(a, b):
    return choose(a != b, 1.0, 0.0)


@_TABLE.vjp
def ne_vjp(grad, _a, _b, _y):
    return none_of(grad), none_of(grad)
