"""What a solve steps towards: given output times, nodes in every step, or an event."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flashode.engines.numba.loops import outputs
from flashode.engines.numba.loops.calls import call_field, call_shared, doubles, numbers
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.loops.linked import FLOAT, INT, SYSTEM, linked
from flashode.engines.numba.loops.meeting import meet, publish, published
from flashode.engines.numba.loops.outputs import note_output, place_of, state_at, store_state
from flashode.engines.numba.loops.records import (
    EVENT,
    EVERY_STEP,
    GOAL,
    NONFINITE_EVENT,
    PROGRESS,
    STEP,
    TIMES,
)
from flashode.engines.numba.loops.step_times import fraction
from flashode.engines.numba.machine_code import rounded_as

# Where no tolerance ends it a bisection ends before this, when no number is left between two.
_MOST_HALVINGS = 1e6


@strict
def _value(system: Any, goal: Any, at: Any, t: float) -> float:
    """The least value of the event function, each times its sign at the start; NaN if one is that."""
    one, width = system.one, goal.event_width
    time = rounded_as(goal.event_direction, one) * rounded_as(t, one)
    if goal.event_shared_code == 0:
        numbers(goal.event_uniform, one, 0, 1)[0] = time
    else:
        call_shared(goal.event_shared_code, time, goal.event_parameters, goal.event_uniform)
    call_field(
        goal.event_code,
        time,
        goal.event_state,
        goal.event_state,
        goal.event_parameters,
        goal.event_uniform,
        goal.event_work,
        goal.event_value,
        1,
    )
    values, signs = numbers(goal.event_value, one, 0, width), doubles(goal.event_signs, 0, width)
    least, undefined = math.inf, False
    for row in range(width):
        value = goal.event_direction * float(values[row])
        undefined |= math.isnan(value)
        if not at.asked:
            signs[row] = np.sign(value)
        least = min(least, signs[row] * value)
    if undefined:
        return math.nan
    at.asked = True
    return least


@linked(SYSTEM, GOAL, PROGRESS, FLOAT, result=INT)
def is_before(system: Any, goal: Any, at: Any, t: float) -> int:
    """Whether an event is yet to come, at a time and the state in ``event_state``.

    Its value is of all trajectories: each worker has written its own there, and one evaluates it for all.
    """
    meet(system, at)
    if goal.leads:
        publish(system, at, system.first, 0, _value(system, goal, at, t))
    meet(system, at)
    value = published(system, at, 0, 0)
    if math.isnan(value) and math.isnan(at.undefined):
        at.undefined = t
    return value > 0.0


@expanded
def reached(goal: Any, at: Any) -> bool:
    """Whether the solve is over."""
    if goal.kind == TIMES:
        return at.times_reached >= goal.time_count
    if goal.kind == EVERY_STEP:
        return at.node >= doubles(goal.times, goal.time_count - 1, 1)[0]
    return at.at_start or at.times_reached > 1 or not math.isnan(at.undefined)


@strict
def may_arrive(goal: Any, at: Any, step: Any) -> bool:
    """Whether an output may lie within a step that is about to be tried."""
    if goal.kind == TIMES:
        return not reached(goal, at) and doubles(goal.times, at.times_reached, 1)[0] <= step.end
    return True


@strict
def arrives(system: Any, goal: Any, at: Any, step: Any) -> bool:
    """Whether an output lies within a step that was taken."""
    if goal.kind == EVENT:
        store_state(system, 1 - at.half, goal.event_state)
        return not is_before(system, goal, at, step.end)
    return may_arrive(goal, at, step)


@linked(SYSTEM, GOAL, PROGRESS, STEP, result=INT)
def _take_event(system: Any, goal: Any, at: Any, step: Any) -> int:
    """The event's time in a step that starts before it and ends after it, by bisection."""
    begin, end = step.start, step.end
    wanted = math.log((end - begin) / goal.event_tolerance) / math.log(2.0)
    left = math.ceil(wanted) if wanted < _MOST_HALVINGS else int(_MOST_HALVINGS)
    while left > 0:
        middle = (begin + end) / 2.0
        if not begin < middle < end:
            break
        state_at(system, at, step, fraction(step, middle), goal.event_state)
        if is_before(system, goal, at, middle):
            begin = middle
        else:
            end = middle
        left -= 1
    if not math.isnan(at.undefined):
        return False
    at.event_t = (begin + end) / 2.0
    place = place_of(system, goal.states, goal.size, 1)
    state_at(system, at, step, fraction(step, at.event_t), place)
    note_output(goal, at)
    at.times_reached += 1
    return True


@linked(SYSTEM, GOAL, PROGRESS, STEP, result=INT)
def take(system: Any, goal: Any, at: Any, step: Any) -> int:
    """Takes the outputs in a step; whether another interval begins."""
    if goal.kind == TIMES:
        while may_arrive(goal, at, step):
            x = fraction(step, doubles(goal.times, at.times_reached, 1)[0])
            if system.vjp_code == 0:
                state_at(system, at, step, x, place_of(system, goal.states, goal.size, at.times_reached))
            else:
                outputs.end_interval(system, goal, at, step, x)
            note_output(goal, at)
            at.times_reached += 1
        return True
    if goal.kind == EVERY_STEP:
        outputs.take_nodes(system, goal, at, step)
        return False
    return _take_event(system, goal, at, step)


@strict
def begin_event(system: Any, goal: Any, at: Any) -> None:
    """Looks for the event at the start."""
    store_state(system, at.half, goal.event_state)
    at.at_start = not is_before(system, goal, at, at.t)


@strict
def end_event(system: Any, goal: Any, at: Any) -> None:
    """Ends a solve whose event is at the start, or cannot be told."""
    if not math.isnan(at.undefined):
        at.status = NONFINITE_EVENT
        at.failed_t = at.undefined
    elif at.at_start:
        at.event_t = at.t
        store_state(system, at.half, place_of(system, goal.states, goal.size, 1))
        note_output(goal, at)
        at.times_reached = 2
