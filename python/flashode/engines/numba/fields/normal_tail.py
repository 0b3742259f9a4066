"""The tail of the normal distribution as a polynomial, by interpolation."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext

# The argument is t = (a - TAIL_ORIGIN) / (a + TAIL_ORIGIN).
TAIL_ORIGIN = 4.0
_FIRST, _LAST = 0.79, 39.0
_DEGREE = 22
_DIGITS = 40


def tail_coefficients() -> list[float]:
    """The coefficients of M in a Phi(-a) = exp(-a**2 / 2) M(t).

    M is nearly constant in the tail, and hardly feels the rounding of t there.
    """
    low, high = _argument(_FIRST), _argument(_LAST)
    middle, radius = (low + high) / 2, (high - low) / 2
    angles = [math.pi * (k + 0.5) / (_DEGREE + 1) for k in range(_DEGREE + 1)]
    with localcontext(Context(prec=_DIGITS)):
        nodes = [Decimal(middle + radius * math.cos(angle)) for angle in angles]
        values = [_tail(Decimal(TAIL_ORIGIN) * (1 + t) / (1 - t)) for t in nodes]
        return [float(coefficient) for coefficient in _interpolated(nodes, values)]


def _argument(a: float) -> float:
    return (a - TAIL_ORIGIN) / (a + TAIL_ORIGIN)


def _tail(a: Decimal) -> Decimal:
    """a exp(a**2 / 2) Phi(-a) = a / (sqrt(2 pi) (a + 1 / (a + 2 / (a + …)))) (Laplace)"""
    fraction = a
    for k in range(40 + int(1300 / a**2), 0, -1):  # more than convergence takes
        fraction = a + k / fraction
    return a / fraction / (2 * Decimal(math.pi)).sqrt()


def _interpolated(nodes: list[Decimal], values: list[Decimal]) -> list[Decimal]:
    """Newton's divided differences, multiplied out."""
    differences = list(values)
    for order in range(1, len(nodes)):
        for k in range(len(nodes) - 1, order - 1, -1):
            differences[k] = (differences[k] - differences[k - 1]) / (nodes[k] - nodes[k - order])
    result = [differences[-1]]
    for node, difference in zip(reversed(nodes[:-1]), reversed(differences[:-1]), strict=True):
        shifted = [Decimal(0), *result]
        for power, coefficient in enumerate(result):
            shifted[power] -= node * coefficient
        shifted[0] += difference
        result = shifted
    return result
