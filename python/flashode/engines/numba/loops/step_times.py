"""The times within a step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flashode.engines.numba.loops.calls import doubles
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.machine_code import rounded_as


@expanded
def fraction(step: Any, t: float) -> float:
    """Where a time lies in a step, exact at its end: there the output is the state itself."""
    return 1.0 if t == step.end else (t - step.start) / step.dt


@expanded
def just_before(t: Any) -> Any:
    """The number before one, in its precision."""
    return np.nextafter(t, rounded_as(-math.inf, t))


@expanded
def just_after(t: Any) -> Any:
    """The number after one, in its precision."""
    return np.nextafter(t, rounded_as(math.inf, t))


@strict
def last_stage_time(system: Any, step: Any) -> Any:
    """What stages at the end of a step see: an error estimate must not see a jump there."""
    end = rounded_as(step.end, system.one)
    return just_before(end) if system.adaptive or system.perturb else end


@strict
def stage_time(system: Any, stage: int, step: Any, last: Any) -> Any:
    """What a stage sees: products and sums in double, each rounded, and the sum to the state's precision."""
    c = system.c_stages[stage]
    return last if c == 1.0 else rounded_as(step.start + c * step.dt, system.one)


@strict
def grid_time(system: Any, step: Any) -> Any:
    """What the first stage of a step on a grid sees."""
    start = rounded_as(step.start, system.one)
    return just_after(start) if system.perturb else start


@strict
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


@strict
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
