"""Linear combinations of stages, one after the other in k, ``size`` numbers each."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.jit import fused

# So few numbers are added up one by one: a pass over them for each stage would cost more than its work.
_FEW = 8


@fused
def combine(weights: Any, count: int, dt: Any, k: Any, size: int, n: int, out: Any) -> None:
    """Writes dt * sum(weights[j] * k[j]) of the first n numbers; most tableaux are half empty."""
    if n <= _FEW:
        for e in range(n):
            total = dt * 0
            for j in range(count):
                if weights[j] != 0.0:  # as below: nothing times a slope that is infinite is not a number
                    total += weights[j] * k[j * size + e]
            out[e] = dt * total
        return
    started = False
    for j in range(count):
        weight, at = dt * weights[j], j * size
        if weights[j] == 0.0:
            continue
        if started:
            for e in range(n):
                out[e] += weight * k[at + e]
        else:
            for e in range(n):
                out[e] = weight * k[at + e]
            started = True
    if not started:
        for e in range(n):
            out[e] = 0.0


@fused
def step_to(weights: Any, count: int, dt: Any, y0: Any, k: Any, size: int, n: int, out: Any) -> None:
    """Writes y0 + dt * sum(weights[j] * k[j])."""
    combine(weights, count, dt, k, size, n, out)
    for e in range(n):
        out[e] = y0[e] + out[e]


@fused
def add_scaled(scale: Any, x: Any, n: int, out: Any) -> None:
    """out += scale * x, of the first n numbers."""
    for e in range(n):
        out[e] += scale * x[e]


@fused
def dot(x: Any, y: Any, n: int) -> float:
    """The sum of products of the first n numbers."""
    result = 0.0
    for e in range(n):
        result += float(x[e] * y[e])
    return result
