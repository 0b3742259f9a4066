"""The continuous adjoint: the augmented dynamics, solved backwards.

One solve for each interval between output times, the state reset to the forward pass' value at each.
"""

from __future__ import annotations

import math
from typing import Any

from flashode.engines.numba.loops import quadrature
from flashode.engines.numba.loops.calls import call_field, doubles, integers, numbers
from flashode.engines.numba.loops.integrate import integrate
from flashode.engines.numba.loops.jit import strict
from flashode.engines.numba.loops.linked import INT, SYSTEM, linked
from flashode.engines.numba.loops.meeting import meet, publish, total
from flashode.engines.numba.loops.rates import prepare, uniform_of
from flashode.engines.numba.loops.records import ADJOINT, DONE, GOAL, INTERRUPTED, PROGRESS, STEP
from flashode.engines.numba.loops.tiles import end_of, lanes_of, load_rows, own, rows_of, store_rows
from flashode.engines.numba.machine_code import rounded_as


@strict
def _state_place(system: Any, memory: int, j: int) -> int:
    return memory + j * system.width * system.batch * system.itemsize


@linked(SYSTEM, ADJOINT, GOAL, INT)
def add_cotangent(system: Any, adjoint: Any, goal: Any, j: int) -> None:
    """a += dL/d(state at output time j)"""
    cotangent = own(system, system.argument, 0)
    for tile in range(system.first, system.last):
        n = system.width * lanes_of(system, tile)
        a = rows_of(system, goal.adjoint, tile)
        load_rows(system, tile, 0, _state_place(system, adjoint.grad_states, j), cotangent)
        for e in range(n):
            a[n + e] += cotangent[e]


@linked(SYSTEM, ADJOINT, GOAL, PROGRESS, INT)
def move_end(system: Any, adjoint: Any, goal: Any, at: Any, j: int) -> None:
    """The gradient in t_j is (dL/dy_j)^T f(t_j, y_j), and is subtracted from dL/dt."""
    s = rounded_as(-doubles(adjoint.times, j, 1)[0], system.one)
    prepare(system, s, 0)
    y, cotangent = own(system, system.argument, 0), own(system, system.argument, 1)
    slope = own(system, system.argument, 2)
    for tile in range(system.first, system.last):
        n = lanes_of(system, tile)
        load_rows(system, tile, 0, _state_place(system, adjoint.states, j), y)
        load_rows(system, tile, 0, _state_place(system, adjoint.grad_states, j), cotangent)
        call_field(
            system.code,
            -s if system.direction < 0.0 else s,
            y.ctypes.data,
            system.c + tile * system.lanes * system.context_width * system.itemsize,
            system.parameters,
            uniform_of(system, 0),
            system.work,
            slope.ctypes.data,
            n,
        )
        result = 0.0
        for e in range(system.width * n):
            result += float(cotangent[e] * slope[e])
        # The reversed field is minus the field.
        publish(system, at, tile, 0, -system.direction * result)
    meet(system, at)
    moved = total(system, at, 0)
    quadrature.add_to_time(system, -moved)
    if goal.leads:
        doubles(adjoint.grad_times, j, 1)[0] = moved


@linked(SYSTEM, ADJOINT, GOAL, PROGRESS)
def begin_interval(system: Any, adjoint: Any, goal: Any, at: Any) -> None:
    """Puts the state of output time j in place, and the adjoint state: the interval leads back to j - 1."""
    j = adjoint.j
    goal.interval = j & 1
    goal.stored = _state_place(system, adjoint.states, j - 1)
    times, ends = doubles(adjoint.times, 0, adjoint.time_count), doubles(adjoint.ends, 0, 2)
    ends[0], ends[1] = -times[j], -times[j - 1]
    goal.times, goal.time_count = adjoint.ends, 2
    if adjoint.grids != 0:
        grid = integers(adjoint.grids, 2 * (j - 1), 2)
        goal.grid, goal.grid_count = grid[0], grid[1]
    misses = doubles(goal.misses, goal.interval * system.tiles, system.tiles)
    sizes = doubles(goal.sizes, 0, system.tiles)
    for tile in range(system.first, system.last):
        n = system.width * lanes_of(system, tile)
        y, a = rows_of(system, end_of(system, system.y, at.half), tile), rows_of(system, goal.adjoint, tile)
        load_rows(system, tile, 0, _state_place(system, adjoint.states, j), y)
        for e in range(n, len(y)):
            y[e] = a[e]
        misses[tile] = 0.0
        for e in range(n):
            sizes[tile] = max(sizes[tile], abs(float(y[e])))
    quadrature.begin(system, at)
    at.t, at.dt, at.norm, at.tried = ends[0], 0.0, 0.0, 0.0
    at.times_reached = at.evaluations = at.accepted = at.rejected = at.attempts = 0
    at.undefined = math.nan
    at.fresh = at.begun = at.nan_met = False


@strict
def _end_interval(system: Any, adjoint: Any, goal: Any, at: Any) -> bool:
    """Adds an interval to those before; whether there is to be another."""
    meet(system, at)
    misses = doubles(goal.misses, goal.interval * system.tiles, system.tiles)
    for tile in range(system.tiles):
        if misses[tile] > adjoint.miss:
            adjoint.miss = misses[tile]
            adjoint.miss_t = doubles(adjoint.times, adjoint.j - 1, 1)[0]
    adjoint.evaluations += at.evaluations
    adjoint.accepted += at.accepted
    adjoint.rejected += at.rejected
    adjoint.nan_met = adjoint.nan_met or at.nan_met
    adjoint.status = at.status
    adjoint.failed_t, adjoint.failed_dt = -at.failed_t, at.failed_dt
    return at.status == DONE


@strict
def _store(system: Any, adjoint: Any, goal: Any) -> None:
    """The gradients of trajectories; those in parameters are in place."""
    width = system.context_width
    to = numbers(adjoint.grad_c, system.one, 0, width * system.batch)
    for tile in range(system.first, system.last):
        n, first = lanes_of(system, tile), tile * system.lanes
        a = rows_of(system, goal.adjoint, tile)
        store_rows(system, tile, system.width, a, adjoint.grad_y0)
        for row in range(width):
            for lane in range(n):
                to[(first + lane) * width + row] = a[(2 * system.width + row) * n + lane]
    if adjoint.grad_times != 0 and system.quadrature_first <= 0 < system.quadrature_last:
        doubles(adjoint.grad_times, 0, 1)[0] = quadrature.of_time(system)


@linked(SYSTEM, ADJOINT, GOAL, PROGRESS, STEP)
def continuous(system: Any, adjoint: Any, goal: Any, at: Any, step: Any) -> None:
    """Integrates, or goes on; all workers call this."""
    begins = False
    if adjoint.j < 0:
        adjoint.j = adjoint.time_count - 1
        add_cotangent(system, adjoint, goal, adjoint.j)
        begins = True
    while adjoint.j >= 1:
        if begins:
            if adjoint.grad_times != 0:
                move_end(system, adjoint, goal, at, adjoint.j)
                adjoint.evaluations += 1
            begin_interval(system, adjoint, goal, at)
        begins = True
        integrate(system, goal, at, step)
        if at.status == INTERRUPTED:
            adjoint.status = INTERRUPTED
            return
        if not _end_interval(system, adjoint, goal, at):
            return
        adjoint.j -= 1
        add_cotangent(system, adjoint, goal, adjoint.j)
    adjoint.status = DONE
    _store(system, adjoint, goal)
