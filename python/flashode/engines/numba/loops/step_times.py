"""The times within a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flashode.engines.numba.loops.calls import doubles, rounded
from flashode.engines.numba.loops.jit import exact, inlined


@inlined
def fraction(step: Any, t: float) -> float:
    """Where a time lies in a step, exact at its end: there the output is the state itself."""
    return 1.0 if t == step.end else (t - step.start) / step.dt


@inlined
def just_before(t: Any) -> Any:
    """The number before one, in its precision."""
    return np.nextafter(t, rounded(-math.inf, t))


@inlined
def just_after(t: Any) -> Any:
    """The number after one, in its precision."""
    return np.nextafter(t, rounded(math.inf, t))


@exact
def end_time(system: Any, step: Any) -> Any:
    """Where the slope at the end of a step is evaluated: an error estimate must not see a jump there."""
    end = rounded(step.end, system.one)
    return just_before(end) if system.adaptive else end


@exact
def last_stage_time(system: Any, step: Any) -> Any:
    """What stages at the end of a step see."""
    if system.perturb:
        return just_before(rounded(step.end, system.one))
    return end_time(system, step)


@exact
def stage_time(system: Any, stage: int, step: Any, last: Any) -> Any:
    """What a stage sees: products and sums in double, each rounded, and the sum to the state's precision."""
    c = system.c_stages[stage]
    return last if c == 1.0 else rounded(step.start + c * step.dt, system.one)


@exact
def grid_time(system: Any, step: Any) -> Any:
    """What the first stage of a step on a grid sees."""
    start = rounded(step.start, system.one)
    return just_after(start) if system.perturb else start


@exact
def shorten(system: Any, step: Any) -> bool:
    """Shortens a step that would pass a prescribed time; whether the field jumps where it ends.

    They are found by where the solve stands, not by a count of those stepped on: a step that happens to
    end on one must not hide the later ones.
    """
    jump = _next(system.jump_t, system.jump_t_count, step.start)
    stop = min(jump, _next(system.step_t, system.step_t_count, step.start))
    if stop > step.end:
        return False
    if stop < step.end:
        step.dt = stop - step.start
        step.end = stop
        step.stopped = True
    return stop == jump


@exact
def _next(times: int, count: int, after: float) -> float:
    if count == 0:
        return math.inf
    at = doubles(times, 0, count)
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if at[middle] <= after:
            low = middle + 1
        else:
            high = middle
    return at[low] if low < count else math.inf
