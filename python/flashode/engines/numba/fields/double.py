"""Elementary functions of double precision, without branches and calls: loops of them become vector code.

Bounds of their errors are asserted by tests/numba/test_elementary.py. Coefficients come from the series of
the functions, in exact arithmetic where double precision would not do.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from flashode.engines.numba.fields.normal_tail import TAIL_ORIGIN, tail_coefficients
from flashode.engines.numba.machine_code import (
    absolute,
    at_least,
    at_most,
    choose,
    from_bits,
    inlined,
    inlined_strict,
    polynomial,
    to_bits,
    with_sign_of,
)

_INFINITY, _NAN = math.inf, math.nan
_SMALLEST_NORMAL = 2.0**-1022
_ONE = 0x3FF << 52  # its bits
_LN2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680")
_PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459")


def parts(number: Fraction, *bits: int) -> list[float]:
    """Numbers of so many bits, and a last one of all that it has, whose sum is a number."""
    result = []
    for count in bits:
        unit = Fraction(2) ** (math.frexp(float(number))[1] - count)
        result.append(float(math.floor(number / unit) * unit))
        number -= Fraction(result[-1])
    return [*result, float(number)]


# Arithmetic that knows its errors.


@inlined_strict
def two_sum(a, b):
    """The rounded sum and its error, whatever the order of sizes (Knuth)."""
    high = a + b
    seen = high - a
    return high, (a - (high - seen)) + (b - seen)


@inlined_strict
def two_product(a, b):
    """The rounded product and its error (Dekker): products of numbers of 26 bits are exact."""
    high = a * b
    a_head = from_bits(to_bits(a) & -(1 << 27))
    b_head = from_bits(to_bits(b) & -(1 << 27))
    a_tail = a - a_head
    b_tail = b - b_head
    return high, ((a_head * b_head - high) + (a_head * b_tail + a_tail * b_head)) + a_tail * b_tail


# The exponential: x = n ln2 + r with |r| <= ln2 / 2, and the series of exp in r.

# The first has so few bits that its products with n are exact.
_LN2_HIGH, _LN2_LOW = parts(_LN2, 32)
_LOG2_E = float(1 / _LN2)
# Adding it rounds to a whole number n, and leaves n + 2048 in the lowest bits of the sum: 64-bit integers of
# numbers, which not every processor has in vectors, are not needed.
_ROUND_OFFSET = 2048
_ROUND = 1.5 * 2.0**52 + _ROUND_OFFSET
_ROUND_BITS = (0x433 << 52) + (1 << 51) + _ROUND_OFFSET
_OVERFLOW, _UNDERFLOW = 710.0, -746.0
_EXPM1_IS_MINUS_ONE = -38.0

# (exp(r) - 1 - r) / r**2
_exp_series = polynomial(*[1 / math.factorial(k) for k in range(2, 14)])


@inlined
def _reduced_exp(x):
    """r, what rounding has taken from it, and n + 2048."""
    shifted = x * _LOG2_E + _ROUND
    n = shifted - _ROUND
    r_high = x - n * _LN2_HIGH
    r = r_high - n * _LN2_LOW
    return r, (r_high - r) - n * _LN2_LOW, to_bits(shifted) - (_ROUND_BITS - _ROUND_OFFSET)


@inlined
def _affine_expm1(r, r_low, scale, unit):
    """unit + scale (exp(r) - 1) for |unit| >= |scale| / 2, with the error of its leading terms."""
    lead = unit + scale * r
    error = (unit - lead) + scale * r
    return lead + (scale * (r * r * _exp_series(r) + r_low) + error)


@inlined
def _power_of_two(exponent):
    return from_bits((exponent + (1023 - _ROUND_OFFSET)) << 52)


@inlined
def _scaled_exp(r, r_low, exponent):
    """The power in two halves: subnormal results are rounded once, the largest do not pass infinity."""
    half = exponent >> 1
    p = _affine_expm1(r, r_low, 1.0, 1.0)
    return p * _power_of_two(half + _ROUND_OFFSET // 2) * _power_of_two(exponent - half + _ROUND_OFFSET // 2)


@inlined
def exp(x):
    """e**x."""
    r, r_low, exponent = _reduced_exp(at_least(at_most(np.float64(x), _OVERFLOW), _UNDERFLOW))
    return _scaled_exp(r, r_low, exponent)


@inlined
def exp_minus(high, low):
    """exp(-high - low) for high >= 0 and a low that is small beside it."""
    r, r_low, exponent = _reduced_exp(at_least(-high, _UNDERFLOW))
    low = r_low - low
    whole = r + low
    return _scaled_exp(whole, (r - whole) + low, exponent)


@inlined
def expm1_moderate(x):
    """exp(x) - 1 where exp(x) neither overflows nor underflows; zeros lose their signs."""
    r, r_low, exponent = _reduced_exp(x)
    power = _power_of_two(exponent)
    return _affine_expm1(r, r_low, power, power - 1.0)


@inlined
def expm1(x):
    """exp(x) - 1."""
    x = np.float64(x)
    r, r_low, exponent = _reduced_exp(at_least(at_most(x, _OVERFLOW), _EXPM1_IS_MINUS_ONE))
    # Half of it, because the power itself overflows below the largest result.
    power = _power_of_two(exponent - 1)
    half = _affine_expm1(r, r_low, power, power - 0.5)
    # Halves of subnormals, and the sign of zero, would be lost.
    return choose(absolute(x) < 4 * _SMALLEST_NORMAL, x, half + half)


# The logarithm: with s = f / (2 + f), log(1 + f) = 2 atanh(s) = f - f**2 / 2 + s (f**2 / 2 + R(s**2)), which
# keeps the leading term exact (fdlibm's arrangement).

_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
_MANTISSA = (1 << 52) - 1
_INTEGER = 2.0**52
_INTEGER_BITS = 0x433 << 52
# R(z) / z for z up to ((sqrt(2) - 1) / (sqrt(2) + 1))**2, and up to 1 / 9.
_log_series = polynomial(*[2 / (2 * k + 1) for k in range(1, 11)])
_log1p_unit_series = polynomial(*[2 / (2 * k + 1) for k in range(1, 18)])


@inlined
def _log_normal(x, shift, correction):
    """log(x / 2**shift) + correction for a normal positive number."""
    shifted = to_bits(x) + (_ONE - _SQRT_HALF_BITS)
    k = from_bits((shifted >> 52) | _INTEGER_BITS) - (_INTEGER + 1023.0) - shift
    f = from_bits((shifted & _MANTISSA) + _SQRT_HALF_BITS) - 1.0
    s = f / (2.0 + f)
    z = s * s
    half_square = 0.5 * f * f
    small = s * (z * _log_series(z) + half_square) + (k * _LN2_LOW + correction)
    return k * _LN2_HIGH + (f - (half_square - small))


@inlined
def _log_special(x, inside):
    outside = choose(x == 0.0, -_INFINITY, _NAN)
    return choose(x > 0.0, choose(x == _INFINITY, x, inside), outside)


@inlined
def log(x):
    """The natural logarithm."""
    x = np.float64(x)
    subnormal = x < _SMALLEST_NORMAL
    scaled = x * choose(subnormal, 2.0**54, 1.0)
    return _log_special(x, _log_normal(scaled, choose(subnormal, 54.0, 0.0), 0.0))


@inlined
def log1p(x):
    """log(1 + x)."""
    x = np.float64(x)
    high, low = two_sum(1.0, x)
    inside = _log_special(high, _log_normal(high, 0.0, low / high))
    return choose(absolute(x) < _SMALLEST_NORMAL, x, inside)


@inlined
def log1p_unit(e):
    """log(1 + e) for e from 0 to 1."""
    s = e / (2.0 + e)
    z = s * s
    half_square = 0.5 * e * e
    return e - (half_square - s * (z * _log1p_unit_series(z) + half_square))


# What is built on them.


@inlined
def tanh(x):
    """e / (e + 2) with e = expm1(2 |x|), and the rounding error of the denominator taken out."""
    x = np.float64(x)
    a = at_most(absolute(x), 20.0)  # rounds to 1 beyond
    e = expm1_moderate(a + a)
    high, low = two_sum(2.0, e)
    y = e / high
    return with_sign_of(y - y * (low * (0.5 * (1.0 - y))), x)


@inlined
def sigmoid_from(x, e):
    """1 / (1 + exp(-x)) from e = exp(-|x|), relatively accurate on both sides."""
    d = 1.0 + e
    y = choose(x < 0.0, e, 1.0) / d
    # As in tanh: 1 / d is the larger of y and 1 - y.
    return y - y * (((1.0 - d) + e) * at_least(y, 1.0 - y))


@inlined
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    x = np.float64(x)
    return sigmoid_from(x, exp(-absolute(x)))


@inlined
def softplus(x):
    """log(1 + exp(x))."""
    x = np.float64(x)
    return choose(x > 0.0, x, choose(x <= 0.0, 0.0, x)) + log1p_unit(exp(-absolute(x)))


@inlined
def tanh_softplus(x):
    """tanh(softplus(x)) = n / (n + 2) with n = e**x (e**x + 2)."""
    e = exp(at_most(np.float64(x), 20.0))  # the quotient rounds to 1 from here on
    n = e * e + (e + e)
    return n / (n + 2.0)


# sigmoid(a (linear + cubic a**2)) is the gate of gelu in its form with tanh.
_LINEAR_SERIES = Fraction(8) / _PI  # the square of linear
_LINEAR = math.sqrt(_LINEAR_SERIES)
_LINEAR_LOW = float((_LINEAR_SERIES - Fraction(_LINEAR) ** 2) / (2 * Fraction(_LINEAR)))
_CUBIC = float(Fraction("0.044715") * (Fraction(_LINEAR) + Fraction(_LINEAR_LOW)))
_CUBIC_LOW = float(Fraction("0.044715") * (Fraction(_LINEAR) + Fraction(_LINEAR_LOW)) - Fraction(_CUBIC))
GELU_TANH_LINEAR, GELU_TANH_CUBIC = _LINEAR, _CUBIC


@inlined
def gelu_tanh_gate(x):
    """(1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2, as a sigmoid of twice that argument.

    The argument has twice the precision: the lower tail magnifies its error.
    """
    x = np.float64(x)
    a = at_most(absolute(x), 22.0)  # 0 or 1 beyond
    square, square_low = two_product(a, a)
    bend, bend_low = two_product(_CUBIC, square)
    slope, slope_low = two_sum(_LINEAR, bend)
    slope_low += bend_low + (_CUBIC * square_low + (_CUBIC_LOW * square + _LINEAR_LOW))
    lead, lead_low = two_product(a, slope)
    return sigmoid_from(x, exp_minus(lead, lead_low + a * slope_low))


# The error function and the normal distribution.

_SQRT_2_PI = math.sqrt(2 * _PI)
# (Phi(x) - 1/2) / x as a series in x**2 for |x| <= 0.8, and erf(x) / x for |x| <= 1.
_CENTRE = 0.8
_centre_series = polynomial(
    *[(-1) ** k / (_SQRT_2_PI * 2.0**k * math.factorial(k) * (2 * k + 1)) for k in range(13)]
)
_erf_series = polynomial(
    *[(-1) ** k * 2 / (math.sqrt(_PI) * math.factorial(k) * (2 * k + 1)) for k in range(19)]
)
_tail_series = polynomial(*tail_coefficients())
_SQRT_2 = math.sqrt(2.0)


@inlined
def exp_minus_square(x):
    """exp(-x**2), whose argument has twice the precision."""
    a = at_most(absolute(np.float64(x)), 40.0)  # zero beyond
    high, low = two_product(a, a)
    return exp_minus(high, low)


@inlined
def exp_minus_half_square(x):
    """exp(-x**2 / 2)."""
    a = at_most(absolute(np.float64(x)), 40.0)
    high, low = two_product(0.5 * a, a)
    return exp_minus(high, low)


@inlined
def _tail_times(a, high, low):
    """a Phi(-a) given high + low = a**2 / 2, for a >= 0.8; finite below."""
    return exp_minus(high, low) * _tail_series((a - TAIL_ORIGIN) / (a + TAIL_ORIGIN))


@inlined
def normal_cdf(x):
    """Phi(x), relatively accurate in the lower tail too."""
    x = np.float64(x)
    a = at_most(absolute(x), 40.0)  # 0 or 1 beyond
    high, low = two_product(0.5 * a, a)
    tail = _tail_times(a, high, low) / a
    far = choose(x > 0.0, 1.0 - tail, tail)
    return choose(a > _CENTRE, far, 0.5 + x * _centre_series(a * a))


@inlined
def gelu(x):
    """x Phi(x); at minus infinity NaN, as in torch: an infinity times zero."""
    x = np.float64(x)
    a = at_most(absolute(x), 40.0)
    high, low = two_product(0.5 * a, a)
    far = x * choose(x > 0.0, 1.0, 0.0) - _tail_times(a, high, low)
    return choose(a > _CENTRE, far, x * (0.5 + x * _centre_series(a * a)))


@inlined
def erf(x):
    """The error function."""
    x = np.float64(x)
    a = at_most(absolute(x), 6.0)  # rounds to 1 beyond
    high, low = two_product(a, a)
    b = a * _SQRT_2
    tail = _tail_times(b, high, low) / b
    far = with_sign_of(1.0 - 2.0 * tail, x)
    return choose(a > 1.0, far, x * _erf_series(a * a))


# sin and cos where |x| <= TRIGONOMETRIC_LIMIT: x = n pi / 2 + r, by as many parts of pi / 2 as keep the
# relative accuracy next to every zero. Of 27 bits, for the products with n to be exact.

TRIGONOMETRIC_LIMIT = 1.0e8
_QUARTER_1, _QUARTER_2, _QUARTER_3, _QUARTER_4 = parts(_PI / 2, 27, 27, 27)
_PER_QUARTER = float(2 / _PI)
_TRIGONOMETRIC_ROUND = 1.5 * 2.0**52
_SIGN_BIT = 63
_sin_series = polynomial(*[(-1) ** k / math.factorial(2 * k + 1) for k in range(1, 9)])
_cos_series = polynomial(*[(-1) ** k / math.factorial(2 * k) for k in range(2, 9)])


@inlined
def _sin_of_quarters(x, more):
    """sin(x + more pi / 2)"""
    shifted = x * _PER_QUARTER + _TRIGONOMETRIC_ROUND
    n = shifted - _TRIGONOMETRIC_ROUND
    # The first difference is exact; next to a zero the second cancels down to the size of the third.
    first = x - n * _QUARTER_1
    second, second_low = two_sum(first, -n * _QUARTER_2)
    third, third_low = two_sum(second, -n * _QUARTER_3)
    rest = (second_low + third_low) - n * _QUARTER_4
    r = third + rest
    r_low = (third - r) + rest
    z = r * r
    half = 0.5 * z
    lead = 1.0 - half
    sine = r + (r * z * _sin_series(z) + r_low * lead)
    cosine = lead + (((1.0 - lead) - half) + (z * z * _cos_series(z) - r * r_low))
    quadrant = to_bits(shifted) + more
    magnitude = choose((quadrant & 1) != 0, cosine, sine)
    return from_bits(to_bits(magnitude) ^ ((quadrant >> 1) << _SIGN_BIT))


@inlined
def sin_moderate(x):
    """sin(x) within the limit; NaN passes."""
    x = np.float64(x)
    # The reduction loses the sign of zero.
    return choose(x == 0.0, x, _sin_of_quarters(x, 0))


@inlined
def cos_moderate(x):
    """cos(x) within the limit."""
    return _sin_of_quarters(np.float64(x), 1)
