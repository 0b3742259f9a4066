"""The loops over steps: one whose controller chooses them, one over given steps.

The adjoint equations run through the same two as a forward solve. A solve that has spent its budget, or
has no memory for another step, is interrupted: called again with the same progress, and all else as it
was, it takes the step that it was about to take.
"""

from __future__ import annotations

import math
from typing import Any

from flashode.engines.numba.loops import attempt, control, goals, outputs
from flashode.engines.numba.loops.calls import doubles
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.loops.linked import SYSTEM, linked
from flashode.engines.numba.loops.records import (
    CUBIC,
    DONE,
    EVENT,
    GOAL,
    INTERRUPTED,
    NONFINITE_FIELD,
    NONFINITE_STATE,
    PROGRESS,
    STEP,
    TOO_MANY_STEPS,
    UNDERFLOW,
)
from flashode.engines.numba.loops.step_times import shorten
from flashode.engines.numba.machine_code import rounded_as


@expanded
def _fail(at: Any, status: int, t: float, dt: float) -> None:
    at.status = status
    at.failed_t = t
    at.failed_dt = dt


@expanded
def _stops(at: Any) -> bool:
    """Whether the solve is to end here for now."""
    at.budget -= 1
    return at.budget < 0 or at.kept >= at.room


@strict
def _first_step(system: Any, at: Any) -> float:
    if system.first_step > 0.0:
        return system.first_step
    norm_y0 = attempt.norm_y0(system, at)
    norm_f0 = attempt.norm_f0(system, at)
    h = control.initial_probe(system, norm_y0, norm_f0)
    norm_derivative = attempt.probe(system, at, h) / h
    if math.isnan(norm_derivative):
        at.nan_met = True
    at.evaluations += 1
    return control.initial_step(system, h, norm_f0, norm_derivative)


@strict
def _begin_adaptive(system: Any, at: Any) -> bool:
    at.begun = True
    at.times_reached = 1
    at.evaluations += 1
    if not attempt.start(system, at, rounded_as(at.t, system.one)):
        _fail(at, NONFINITE_FIELD, at.t, 0.0)
        return False
    at.dt = _first_step(system, at)
    return True


@strict
def _integrate_adaptive(system: Any, goal: Any, at: Any, step: Any) -> None:
    """Steps that an error chooses, from ``at.t``."""
    if not at.begun and not _begin_adaptive(system, at):
        return
    at.status = DONE
    while not goals.reached(goal, at):
        if not math.isfinite(at.dt):
            at.dt = system.min_step
        at.dt = control.clamped(system, at.dt)
        step.start, step.dt, step.end = at.t, at.dt, at.t + at.dt
        step.stopped, step.fresh = False, at.fresh
        if not step.end > at.t or (math.isnan(at.norm) and at.tried <= system.min_step):
            _fail(at, UNDERFLOW, at.t, at.dt)
            return
        if at.attempts >= system.max_num_steps:
            _fail(at, TOO_MANY_STEPS, at.t, at.dt)
            return
        if _stops(at):
            _fail(at, INTERRUPTED, at.t, at.dt)
            return
        at.attempts += 1
        jumps = shorten(system, step)
        at.norm = attempt.adaptive_step(system, at, step, goals.may_arrive(goal, at, step))
        at.tried = step.dt
        at.evaluations += system.stages - 1
        if math.isnan(at.norm):
            at.nan_met = True
        # Ever smaller steps would come ever closer to the largest number and never arrive.
        if not math.isfinite(at.norm) and attempt.beyond(system, at, system.overflow):
            _fail(at, NONFINITE_STATE, at.t, at.tried)
            return
        if control.accepts(system, at.norm, at.tried):
            if not _accept(system, goal, at, step, jumps):
                return
        else:
            at.rejected += 1
        at.dt = control.next_step(system, at.norm, at.tried)


@strict
def _accept(system: Any, goal: Any, at: Any, step: Any, jumps: bool) -> bool:
    """The step stands; whether the solve goes on."""
    at.accepted += 1
    outputs.keep(system, goal, at, step)
    at.t = step.end
    if goals.arrives(system, goal, at, step) and goals.take(system, goal, at, step):
        at.attempts = 0
    attempt.advance(system, at)
    at.fresh = jumps
    if jumps:
        at.evaluations += 1
        if not attempt.start_after(system, at):
            at.nan_met = True
            if not goals.reached(goal, at):
                _fail(at, NONFINITE_FIELD, at.t, 0.0)
                return False
    return True


@strict
def _next_step(system: Any, goal: Any, at: Any, step: Any) -> bool:
    """The next step of a grid, or of one size; False where there is none."""
    size = goal.step_size
    if size > 0.0:
        if at.accepted >= system.max_num_steps:
            return False
        step.start, step.dt, step.end = at.t, size, at.t + size
        return True
    if at.accepted + 1 >= goal.grid_count:
        return False
    grid = doubles(goal.grid, 0, goal.grid_count)
    step.start, step.end = grid[at.accepted], grid[at.accepted + 1]
    step.dt = step.end - step.start
    return True


@strict
def _integrate_fixed(system: Any, goal: Any, at: Any, step: Any) -> None:
    """Given steps: of a grid, or of one size from ``at.t`` on."""
    if not at.begun:
        at.times_reached = 1
        at.begun = True
    at.status = DONE
    step.stopped = step.fresh = False
    while not goals.reached(goal, at):
        if not _next_step(system, goal, at, step):
            at.status = TOO_MANY_STEPS
            at.failed_t = at.t
            return
        at.failed_t, at.failed_dt = step.start, step.dt
        at.t, at.tried = step.start, step.dt
        if _stops(at):
            at.status = INTERRUPTED
            return
        finite = attempt.fixed_step(system, at, step)
        at.evaluations += system.stages
        if not finite:
            _fail_fixed(system, at, step)
            return
        at.accepted += 1
        outputs.keep(system, goal, at, step)
        if goals.arrives(system, goal, at, step):
            before = at.times_reached
            if system.interpolant == CUBIC and not attempt.evaluate_end(system, at, step):
                _fail(at, NONFINITE_FIELD, step.end, step.dt)
                return
            goals.take(system, goal, at, step)
            # Made once, counted for each output: the function is asked as often in plain torch.
            if system.interpolant == CUBIC:
                at.evaluations += at.times_reached - before
        attempt.advance(system, at)
        at.t = step.end


@strict
def _fail_fixed(system: Any, at: Any, step: Any) -> None:
    """A step on a grid has left the numbers."""
    at.status = NONFINITE_STATE if at.slopes_finite else NONFINITE_FIELD
    if at.slopes_finite and (at.accepted > 0 or not attempt.beyond(system, at, system.largest)):
        at.failed_t = step.end


@linked(SYSTEM, GOAL, PROGRESS, STEP)
def integrate(system: Any, goal: Any, at: Any, step: Any) -> None:
    """The loop of the method, until the goal is reached, the solve fails or is interrupted.

    Args:
        system: What is integrated.
        goal: What for.
        at: Where it stands.
        step: The step at hand.
    """
    if goal.kind == EVENT and not at.begun:
        goals.begin_event(system, goal, at)
    if system.adaptive:
        _integrate_adaptive(system, goal, at, step)
    else:
        _integrate_fixed(system, goal, at, step)
    if goal.kind == EVENT and at.status == DONE:
        goals.end_event(system, goal, at)
