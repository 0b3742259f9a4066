"""Linear combinations of stages, one after the other in k, ``size`` numbers each."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.jit import expanded, fused
from flashode.engines.numba.machine_code import pointer_to
from flashode.engines.numba.vectors import length_of, load, multiply_add, plus, spread, store, zeros_like


@expanded
def _sum(weights: Any, count: int, dt: Any, k: Any, size: int, e: int, some: Any) -> Any:
    """A vector of dt * sum(weights[j] * k[j])."""
    total = zeros_like(k)
    for j in range(count):
        # Most tableaux are half empty, and nothing times a slope that is infinite is not a number.
        if weights[j] != 0.0:
            total = multiply_add(spread(dt * weights[j]), load(k, j * size + e, some), total)
    return total


@fused
def combine(weights: Any, count: int, dt: Any, k: Any, size: int, n: int, out: Any) -> None:
    """Writes dt * sum(weights[j] * k[j]) of the first n numbers."""
    stages, to = pointer_to(k), pointer_to(out)
    length = length_of(to)
    whole = n - n % length
    for e in range(0, whole, length):
        store(to, e, _sum(weights, count, dt, stages, size, e, None), None)
    if whole < n:
        store(to, whole, _sum(weights, count, dt, stages, size, whole, n - whole), n - whole)


@fused
def step_to(weights: Any, count: int, dt: Any, y0: Any, k: Any, size: int, n: int, out: Any) -> None:
    """Writes y0 + dt * sum(weights[j] * k[j])."""
    start, stages, to = pointer_to(y0), pointer_to(k), pointer_to(out)
    length = length_of(to)
    whole = n - n % length
    for e in range(0, whole, length):
        moved = plus(load(start, e, None), _sum(weights, count, dt, stages, size, e, None))
        store(to, e, moved, None)
    if whole < n:
        rest = n - whole
        moved = plus(load(start, whole, rest), _sum(weights, count, dt, stages, size, whole, rest))
        store(to, whole, moved, rest)


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
