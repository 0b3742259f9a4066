"""The part of an augmented state that no tile has, integrated beside the tiles.

None of the rates depends on it. Each worker gathers rates in groups of its own tiles. Where workers meet
they are added up, each number by one worker, in the order of the groups; what follows from them
elementwise is done by the same one. Norms every worker has to itself. Without adjoint equations there is
nothing of this.
"""

from __future__ import annotations

import math
from typing import Any

from flashode.engines.numba.loops.calls import doubles, integers
from flashode.engines.numba.loops.interpolation import dense_output, weights
from flashode.engines.numba.loops.jit import expanded, fused, strict
from flashode.engines.numba.loops.linked import FLOAT, INT, SYSTEM, linked
from flashode.engines.numba.loops.meeting import larger, meet
from flashode.engines.numba.loops.records import PROGRESS

# Parts of a system's quadrature after the two states of a step.
_MIDDLE, _ERROR, _GRADIENTS = 2, 3, 4
PARTS = 5


@expanded
def _part(system: Any, which: int) -> Any:
    size = system.quadrature_size
    return doubles(system.quadrature, which * size, size)


@expanded
def _rate(system: Any, stage: int) -> Any:
    size = system.quadrature_size
    return doubles(system.rate, stage * size, size)


@strict
def clear(system: Any, first: int, last: int) -> None:
    """Before the rates of these stages."""
    if system.vjp_code == 0:
        return
    size = system.quadrature_size
    begin, end = system.first // system.group_tiles, -(-system.last // system.group_tiles)
    for group in range(begin, end):
        sets = doubles(system.gathered, (group * system.sets + first) * size, (last - first) * size)
        for e in range(len(sets)):
            sets[e] = 0.0


@linked(SYSTEM, INT, INT)
def close(system: Any, first: int, last: int) -> None:
    """After the workers have met: adds the rates of these stages up."""
    size, direct = system.quadrature_size, system.starts == 0
    starts, sources = integers(system.starts, 0, size + 1), integers(system.sources, 0, size)
    gathered = doubles(system.gathered, 0, system.groups * system.sets * size)
    for stage in range(first, last):
        rate = _rate(system, stage)
        for e in range(system.quadrature_first, system.quadrature_last):
            result = 0.0
            for i in range(e if direct else starts[e], e + 1 if direct else starts[e + 1]):
                source = i if direct else sources[i]
                for group in range(system.groups):
                    result += gathered[(group * system.sets + stage) * size + source]
            rate[e] = result


@fused
def _norm(system: Any, error: Any, q0: Any, q1: Any) -> float:
    """Of all ranges; every worker has written its numbers."""
    largest, ranges = 0.0, integers(system.ranges, 0, 2 * system.range_count)
    rtol, atol = system.rtol, system.atol
    for i in range(system.range_count):
        begin, end, result = ranges[2 * i], ranges[2 * i + 1], 0.0
        for e in range(begin, end):
            m0, m1 = abs(q0[e]), abs(q1[e])
            scaled = error[e] / (atol + rtol * (m0 if m0 > m1 else m1))
            result += scaled * scaled
        largest = larger(largest, math.sqrt(result / (end - begin)))
    return largest


@linked(SYSTEM, PROGRESS, result=FLOAT)
def norm_state(system: Any, at: Any) -> float:
    """Of the state."""
    if system.vjp_code == 0:
        return 0.0
    state = _part(system, at.half)
    return _norm(system, state, state, state)


@linked(SYSTEM, PROGRESS, result=FLOAT)
def norm_slope(system: Any, at: Any) -> float:
    """Of the rate of the first stage."""
    if system.vjp_code == 0:
        return 0.0
    state = _part(system, at.half)
    return _norm(system, _rate(system, 0), state, state)


@linked(SYSTEM, PROGRESS, result=FLOAT)
def norm_probe(system: Any, at: Any) -> float:
    """Of the difference between the rates of two stages, after the workers have met."""
    if system.vjp_code == 0:
        return 0.0
    close(system, 1, 2)
    error, slope, other = _part(system, _ERROR), _rate(system, 0), _rate(system, 1)
    for e in range(system.quadrature_first, system.quadrature_last):
        error[e] = other[e] - slope[e]
    meet(system, at)
    state = _part(system, at.half)
    return _norm(system, error, state, state)


@fused
def _combine(system: Any, weights: Any, dt: float, e: int) -> float:
    rates, result = doubles(system.rate, 0, system.sets * system.quadrature_size), 0.0
    for j in range(system.stages):
        if weights[j] != 0.0:
            result += dt * weights[j] * rates[j * system.quadrature_size + e]
    return result


@linked(SYSTEM, PROGRESS, INT, FLOAT, INT, result=FLOAT)
def take_step(system: Any, at: Any, first: int, dt: float, dense: int) -> float:
    """The step that the tiles have taken, after the workers have met: the norm of its error.

    Args:
        system: The system.
        at: Where it stands.
        first: The first stage whose rates are new.
        dt: The size of the step.
        dense: Whether an output may lie within.
    """
    if system.vjp_code == 0:
        return 0.0
    close(system, first, system.stages)
    state, end = _part(system, at.half), _part(system, 1 - at.half)
    error, middle = _part(system, _ERROR), _part(system, _MIDDLE)
    for e in range(system.quadrature_first, system.quadrature_last):
        end[e] = state[e] + _combine(system, system.b, dt, e)
        error[e] = _combine(system, system.b_error, dt, e)
        if dense:
            middle[e] = state[e] + _combine(system, system.b_mid, dt, e)
    meet(system, at)
    return _norm(system, error, state, end) if system.adaptive else 0.0


@expanded
def advance(system: Any) -> None:
    """The rate of the last stage becomes that of the first."""
    if system.vjp_code == 0:
        return
    to, rate = _rate(system, 0), _rate(system, system.stages - 1)
    for e in range(system.quadrature_first, system.quadrature_last):
        to[e] = rate[e]


@strict
def begin(system: Any, at: Any) -> None:
    """Starts from what the intervals before have left."""
    state, gradients = _part(system, at.half), _part(system, _GRADIENTS)
    for e in range(system.quadrature_first, system.quadrature_last):
        state[e] = gradients[e]


@linked(SYSTEM, PROGRESS, FLOAT, FLOAT)
def end(system: Any, at: Any, x: float, dt: float) -> None:
    """Leaves what is at the fraction x of a step.

    The last stage stands for the slope at the end, which it is in steps that an error chooses. Grids end
    where intervals do: x is one there, and no slope counts.
    """
    first = system.quadrature_first
    dense_output(
        system,
        weights(system, x),
        dt,
        system.quadrature_last - first,
        _part(system, at.half)[first:],
        _part(system, 1 - at.half)[first:],
        _part(system, _MIDDLE)[first:],
        _rate(system, 0)[first:],
        _rate(system, system.stages - 1)[first:],
        _part(system, _GRADIENTS)[first:],
    )


@strict
def add_to_time(system: Any, amount: float) -> None:
    """Adds to dL/dt where the last interval has ended."""
    if system.quadrature_first <= 0 < system.quadrature_last:
        _part(system, _GRADIENTS)[0] += amount


@strict
def of_time(system: Any) -> float:
    """dL/dt where the last interval has ended, for the worker that has it."""
    return _part(system, _GRADIENTS)[0]
