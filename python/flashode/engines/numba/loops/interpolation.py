"""The solution inside a step, from its states and slopes."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.jit import fused, strict
from flashode.engines.numba.loops.records import CUBIC, LINEAR, QUARTIC
from flashode.engines.numba.machine_code import rounded_as


@strict
def _value(c: Any, x: float) -> float:
    """Evaluates a polynomial as c[0] + x^n (rest), n the lowest power above the first.

    With small integers for coefficients it rounds no more often than it must.
    """
    last = len(c) - 1
    lowest, power = 1, x
    while lowest < last and c[lowest] == 0.0:
        lowest += 1
        power *= x
    rest = c[last]
    for n in range(last - 1, lowest - 1, -1):
        rest = c[n] + x * rest
    return power * rest if c[0] == 0.0 else c[0] + power * rest


@strict
def _slope(c: Any, x: float) -> float:
    total = 0.0
    for n in range(len(c) - 1, 0, -1):
        total = n * c[n] + x * total
    return total


# Hermite's cubic in its factored form: expanded it rounds otherwise than torchdiffeq's.
@strict
def weights(system: Any, x: float) -> tuple[float, float, float, float, float]:
    """Of y0, y1, y_mid, and of dt times f0 and f1, at the fraction x."""
    if system.interpolant == CUBIC:
        rest = (1.0 - x) * (1.0 - x)
        square = x * x
        return (1.0 + 2.0 * x) * rest, square * (3.0 - 2.0 * x), 0.0, x * rest, square * (x - 1.0)
    w = system.weights
    return _value(w[0], x), _value(w[1], x), _value(w[2], x), _value(w[3], x), _value(w[4], x)


@strict
def weights_derivative(system: Any, x: float) -> tuple[float, float, float, float, float]:
    """Of the same the derivatives in x."""
    if system.interpolant == CUBIC:
        y0 = -6.0 * x * (1.0 - x)
        return y0, -y0, 0.0, (1.0 - x) * (1.0 - 3.0 * x), x * (3.0 * x - 2.0)
    w = system.weights
    return _slope(w[0], x), _slope(w[1], x), _slope(w[2], x), _slope(w[3], x), _slope(w[4], x)


@fused
def dense_output(
    system: Any, w: Any, dt: float, n: int, y0: Any, y1: Any, middle: Any, f0: Any, f1: Any, out: Any
) -> None:
    """Writes the first n numbers of the solution at weights w."""
    one = system.one
    w_y0, w_y1 = rounded_as(w[0], one), rounded_as(w[1], one)
    for e in range(n):
        out[e] = w_y0 * y0[e] + w_y1 * y1[e]
    if system.interpolant == LINEAR:
        return
    size = rounded_as(dt, one)
    w_f0, w_f1 = size * rounded_as(w[3], one), size * rounded_as(w[4], one)
    for e in range(n):
        out[e] += w_f0 * f0[e] + w_f1 * f1[e]
    if system.interpolant == QUARTIC:
        w_mid = rounded_as(w[2], one)
        for e in range(n):
            out[e] += w_mid * middle[e]
