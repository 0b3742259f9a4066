"""Elementary functions of single precision, as in ``double.py``: twice as many numbers to a vector, and
shorter series.

Bounds of their errors are asserted by tests/numba/test_elementary.py.
"""

from __future__ import annotations

import math

import numpy as np

from flashode.engines.numba.machine_code import (
    absolute,
    at_least,
    at_most,
    choose,
    from_bits_of_single,
    inlined,
    polynomial_of_single,
    to_bits_of_single,
    with_sign_of,
)

_ONE, _TWO, _ZERO = np.float32(1.0), np.float32(2.0), np.float32(0.0)
_SMALLEST_NORMAL = np.float32(2.0**-126)

# x = n ln2 + r. The first part of ln2 has so few bits that its products with n are exact.
_LN2_HIGH = np.float32(0x162 / 0x200)
_LN2_LOW = np.float32(math.log(2.0) - 0x162 / 0x200)
_LOG2_E = np.float32(1.0 / math.log(2.0))
# Adding it rounds to a whole number n, and leaves n + 2**9 in the lowest bits of the sum.
_ROUND_OFFSET = 2**9
_ROUND = np.float32(1.5 * 2.0**23 + _ROUND_OFFSET)
_ROUND_BITS = (0x96 << 23) + (1 << 22)
_OVERFLOW, _UNDERFLOW = np.float32(89.0), np.float32(-104.0)
_EXPM1_IS_MINUS_ONE, _TANH_IS_ONE = np.float32(-18.0), np.float32(9.5)

# (exp(r) - 1 - r) / r**2
_exp_series = polynomial_of_single(*[1 / math.factorial(k) for k in range(2, 8)])
# R(z) / z as in `double`, for z up to 1 / 9.
_log1p_unit_series = polynomial_of_single(*[2 / (2 * k + 1) for k in range(1, 8)])


@inlined
def _reduced(x):
    """r and n + 2**9."""
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    return (x - n * _LN2_HIGH) - n * _LN2_LOW, to_bits_of_single(shifted) - _ROUND_BITS


@inlined
def _power_of_two(exponent):
    return from_bits_of_single((exponent + (127 - _ROUND_OFFSET)) << 23)


@inlined
def exp(x):
    """e**x; the power in two halves, as in `double`."""
    r, exponent = _reduced(at_least(at_most(x, _OVERFLOW), _UNDERFLOW))
    p = _ONE + (r + r * r * _exp_series(r))
    half = exponent >> 1
    return p * _power_of_two(half + _ROUND_OFFSET // 2) * _power_of_two(exponent - half + _ROUND_OFFSET // 2)


@inlined
def _expm1_moderate(x):
    r, exponent = _reduced(x)
    power = _power_of_two(exponent)
    return (power - _ONE) + power * (r + r * r * _exp_series(r))


@inlined
def expm1(x):
    """exp(x) - 1."""
    r, exponent = _reduced(at_least(at_most(x, _OVERFLOW), _EXPM1_IS_MINUS_ONE))
    power = _power_of_two(exponent - 1)  # half of it: the power itself overflows below the largest result
    half = (power - np.float32(0.5)) + power * (r + r * r * _exp_series(r))
    return choose(absolute(x) < _SMALLEST_NORMAL * 4, x, half + half)


@inlined
def tanh(x):
    """e / (e + 2) with e = expm1(2 |x|)."""
    a = at_most(absolute(x), _TANH_IS_ONE)
    e = _expm1_moderate(a + a)
    return with_sign_of(e / (e + _TWO), x)


@inlined
def sigmoid(x):
    """1 / (1 + exp(-x)), relatively accurate on both sides."""
    e = exp(-absolute(x))
    return choose(x < _ZERO, e, _ONE) / (_ONE + e)


@inlined
def softplus(x):
    """log(1 + exp(x))."""
    e = exp(-absolute(x))
    s = e / (_TWO + e)
    z = s * s
    half_square = np.float32(0.5) * e * e
    log1p = e - (half_square - s * (z * _log1p_unit_series(z) + half_square))
    return choose(x > _ZERO, x, choose(x <= _ZERO, _ZERO, x)) + log1p
