"""Single steps of a whole batch, and what they start from."""

from __future__ import annotations

from typing import Any

import numpy as np

from flashode.engines.numba.loops import quadrature
from flashode.engines.numba.loops.combine import combine, step_to
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.loops.linked import FLOAT, INT, SYSTEM, linked
from flashode.engines.numba.loops.meeting import anywhere, larger, meet, norm, publish, publish_squares, total
from flashode.engines.numba.loops.rates import prepare, rates
from flashode.engines.numba.loops.records import PROGRESS, STEP
from flashode.engines.numba.loops.step_times import (
    grid_time,
    just_after,
    last_stage_time,
    stage_time,
)
from flashode.engines.numba.loops.tiles import counts, end_of, lanes_of, own, own_stages, rows_of
from flashode.engines.numba.machine_code import rounded_as


@strict
def is_finite(system: Any, tile: int, values: Any, first: int) -> bool:
    """Whether all that counts in norms is finite, of rows that begin with the first-th number."""
    n = lanes_of(system, tile)
    for segment in range(system.segment_count):
        begin, end = counts(system, segment)
        for e in range(first + begin * n, first + end * n):
            if not np.isfinite(values[e]):
                return False
    return True


@linked(SYSTEM, PROGRESS, FLOAT, result=INT)
def start(system: Any, at: Any, t: float) -> int:
    """Evaluates the slope at the state in place; whether both are finite."""
    wrong = _evaluate(system, t, end_of(system, system.y, at.half), end_of(system, system.f, at.half), True)
    return _closed(system, at, wrong)


@linked(SYSTEM, PROGRESS, STEP, result=INT)
def evaluate_end(system: Any, at: Any, step: Any) -> int:
    """The slope at the end of a given step, which has no stage there: whether it is finite."""
    y, to = end_of(system, system.y, 1 - at.half), end_of(system, system.f, 1 - at.half)
    wrong = _evaluate(system, rounded_as(step.end, system.one), y, to, False)
    return _closed(system, at, wrong)


@linked(SYSTEM, PROGRESS, result=INT)
def start_after(system: Any, at: Any) -> int:
    """Evaluates the slope just after the present time, where the field has jumped."""
    return start(system, at, just_after(rounded_as(at.t, system.one)))


@strict
def _evaluate(system: Any, t: Any, states: int, slopes: int, check_states: bool) -> bool:
    """Evaluates slopes of tiles; whether something is not finite."""
    prepare(system, t, 0)
    quadrature.clear(system, 0, 1)
    wrong = False
    for tile in range(system.first, system.last):
        y, f = rows_of(system, states, tile), rows_of(system, slopes, tile)
        rates(system, tile, t, 0, y.ctypes.data, f.ctypes.data)
        wrong |= not is_finite(system, tile, f, 0)
        wrong |= check_states and not is_finite(system, tile, y, 0)
    return wrong


@expanded
def _closed(system: Any, at: Any, wrong: bool) -> bool:
    """Ends the evaluation of first stages: whether nothing was wrong with them."""
    wrong = anywhere(system, at, wrong)
    if system.vjp_code != 0:
        quadrature.close(system, 0, 1)
        meet(system, at)
    return not wrong


@linked(SYSTEM, PROGRESS, result=FLOAT)
def norm_y0(system: Any, at: Any) -> float:
    """Of the state in place."""
    of_tiles = _norm_at_start(system, at, system.y)
    return larger(of_tiles, quadrature.norm_state(system, at))


@linked(SYSTEM, PROGRESS, result=FLOAT)
def norm_f0(system: Any, at: Any) -> float:
    """Of its slope."""
    of_tiles = _norm_at_start(system, at, system.f)
    return larger(of_tiles, quadrature.norm_slope(system, at))


@strict
def _norm_at_start(system: Any, at: Any, which: int) -> float:
    for tile in range(system.first, system.last):
        y = rows_of(system, end_of(system, system.y, at.half), tile)
        publish_squares(system, at, tile, rows_of(system, end_of(system, which, at.half), tile), y, y)
    return norm(system, at)


@linked(SYSTEM, PROGRESS, FLOAT, result=FLOAT)
def probe(system: Any, at: Any, h: float) -> float:
    """The norm of f(t + h, y0 + h f0) - f0."""
    t, size = rounded_as(at.t + h, system.one), rounded_as(h, system.one)
    prepare(system, t, 1)
    quadrature.clear(system, 1, 2)
    moved, slope = own(system, system.argument, 0), own(system, system.argument, 1)
    for tile in range(system.first, system.last):
        y = rows_of(system, end_of(system, system.y, at.half), tile)
        f = rows_of(system, end_of(system, system.f, at.half), tile)
        for e in range(len(y)):
            moved[e] = y[e] + size * f[e]
        rates(system, tile, t, 1, moved.ctypes.data, slope.ctypes.data)
        for e in range(len(y)):
            slope[e] -= f[e]
        publish_squares(system, at, tile, slope, y, y)
    of_tiles = norm(system, at)
    return larger(of_tiles, quadrature.norm_probe(system, at))


@strict
def _prepare_stages(system: Any, step: Any) -> None:
    last = last_stage_time(system, step)
    for i in range(1, system.stages):
        prepare(system, stage_time(system, i, step, last), i)


@strict
def _take_stages(system: Any, tile: int, step: Any, y0: Any, y1: Any) -> None:
    """The stages after the first, which is in place, and the end of the step."""
    n, size = len(y0), system.rows * system.lanes
    k, argument = own_stages(system), own(system, system.argument, 0)
    dt, last = rounded_as(step.dt, system.one), last_stage_time(system, step)
    for i in range(1, system.stages):
        y = y1 if system.fsal and i == system.stages - 1 else argument
        step_to(system.a[i], i, dt, y0, k, size, n, y)
        rates(
            system,
            tile,
            stage_time(system, i, step, last),
            i,
            y.ctypes.data,
            own(system, system.k, i).ctypes.data,
        )
    if not system.fsal:
        step_to(system.b, system.stages, dt, y0, k, size, n, y1)


@linked(SYSTEM, PROGRESS, STEP, INT, result=FLOAT)
def adaptive_step(system: Any, at: Any, step: Any, dense: int) -> float:
    """Takes a step that an error judges: its norm."""
    size, dt = system.rows * system.lanes, rounded_as(step.dt, system.one)
    k, error = own_stages(system), own(system, system.argument, 1)
    _prepare_stages(system, step)
    quadrature.clear(system, 1, system.stages)
    for tile in range(system.first, system.last):
        y0 = rows_of(system, end_of(system, system.y, at.half), tile)
        y1 = rows_of(system, end_of(system, system.y, 1 - at.half), tile)
        f0 = rows_of(system, end_of(system, system.f, at.half), tile)
        n = len(y0)
        for e in range(n):
            k[e] = f0[e]
        _take_stages(system, tile, step, y0, y1)
        # The last stage is the first of the next step: explicit methods that choose their steps carry it.
        f1, last = rows_of(system, end_of(system, system.f, 1 - at.half), tile), (system.stages - 1) * size
        for e in range(n):
            f1[e] = k[last + e]
        if dense:
            middle = rows_of(system, system.middle, tile)
            step_to(system.b_mid, system.stages, dt, y0, k, size, n, middle)
        combine(system.b_error, system.stages, dt, k, size, n, error)
        publish_squares(system, at, tile, error, y0, y1)
    of_tiles = norm(system, at)
    return larger(of_tiles, quadrature.take_step(system, at, 1, step.dt, dense))


@linked(SYSTEM, PROGRESS, STEP, result=INT)
def fixed_step(system: Any, at: Any, step: Any) -> int:
    """Takes a step that nothing judges: whether its end is finite."""
    size, k, first = system.rows * system.lanes, own_stages(system), grid_time(system, step)
    prepare(system, first, 0)
    _prepare_stages(system, step)
    quadrature.clear(system, 0, system.stages)
    for tile in range(system.first, system.last):
        y0 = rows_of(system, end_of(system, system.y, at.half), tile)
        y1 = rows_of(system, end_of(system, system.y, 1 - at.half), tile)
        f0 = rows_of(system, end_of(system, system.f, at.half), tile)
        rates(system, tile, first, 0, y0.ctypes.data, k.ctypes.data)
        for e in range(len(y0)):
            f0[e] = k[e]
        _take_stages(system, tile, step, y0, y1)
        finite = True
        for i in range(system.stages):
            finite &= is_finite(system, tile, k, i * size)
        publish(system, at, tile, 0, 0.0 if is_finite(system, tile, y1, 0) else 1.0)
        publish(system, at, tile, 1, 0.0 if finite else 1.0)
    meet(system, at)
    at.slopes_finite = total(system, at, 1) == 0.0
    finite = total(system, at, 0) == 0.0
    quadrature.take_step(system, at, 0, step.dt, False)
    return finite


@expanded
def advance(system: Any, at: Any) -> None:
    """The end of the step becomes the start of the next."""
    at.half = 1 - at.half
    quadrature.advance(system)


@linked(SYSTEM, PROGRESS, FLOAT, result=INT)
def beyond(system: Any, at: Any, most: float) -> int:
    """Whether an element of the state in place is larger than the magnitude given, or NaN."""
    wrong = False
    for tile in range(system.first, system.last):
        y, n = rows_of(system, end_of(system, system.y, at.half), tile), lanes_of(system, tile)
        for segment in range(system.segment_count):
            begin, end = counts(system, segment)
            for e in range(begin * n, end * n):
                wrong |= not abs(y[e]) <= most
    return anywhere(system, at, wrong)
