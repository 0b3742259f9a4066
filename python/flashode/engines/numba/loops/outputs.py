"""What leaves a solve: states in steps, checkpoints, nodes, the ends of an adjoint's intervals."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops import quadrature
from flashode.engines.numba.loops.calls import doubles, integers, numbers
from flashode.engines.numba.loops.interpolation import dense_output, weights
from flashode.engines.numba.loops.jit import expanded, strict
from flashode.engines.numba.loops.linked import FLOAT, INT, SYSTEM, linked
from flashode.engines.numba.loops.records import GOAL, PROGRESS, STEP
from flashode.engines.numba.loops.tiles import end_of, lanes_of, load_rows, own, rows_of, store_rows


@expanded
def place_of(system: Any, memory: int, size: int, index: int) -> int:
    """The address of one of many states."""
    return memory + index * size * system.itemsize


@linked(SYSTEM, GOAL, PROGRESS, STEP)
def keep(system: Any, goal: Any, at: Any, step: Any) -> None:
    """The step stands; its start is still in place."""
    index = at.kept
    at.kept += 1
    if not goal.records:
        return
    if goal.leads:
        numbers(goal.steps, step, index, 1)[0] = step
    every = system.rows * system.batch
    with_slope = system.carried and not system.fsal
    size = every * (2 if with_slope else 1)
    place = place_of(system, goal.checkpoints, size, index - goal.first_kept)
    for tile in range(system.first, system.last):
        y, to = rows_of(system, end_of(system, system.y, at.half), tile), rows_of(system, place, tile)
        for e in range(len(y)):
            to[e] = y[e]
        if with_slope:
            f = rows_of(system, end_of(system, system.f, at.half), tile)
            to = rows_of(system, place + every * system.itemsize, tile)
            for e in range(len(f)):
                to[e] = f[e]


@expanded
def note_output(goal: Any, at: Any) -> None:
    """An output lies in the step kept last, or is the start."""
    if goal.leads and goal.step_of_time != 0:
        integers(goal.step_of_time, at.times_reached, 1)[0] = at.kept - 1


@strict
def _interpolate(system: Any, at: Any, step: Any, w: Any, tile: int, to: Any) -> None:
    y = rows_of(system, end_of(system, system.y, at.half), tile)
    dense_output(
        system,
        w,
        step.dt,
        len(y),
        y,
        rows_of(system, end_of(system, system.y, 1 - at.half), tile),
        rows_of(system, system.middle, tile),
        rows_of(system, end_of(system, system.f, at.half), tile),
        rows_of(system, end_of(system, system.f, 1 - at.half), tile),
        to,
    )


@linked(SYSTEM, PROGRESS, STEP, FLOAT, INT)
def state_at(system: Any, at: Any, step: Any, x: float, memory: int) -> None:
    """Writes the state at the fraction x of the step to the caller's memory."""
    w, value = weights(system, x), own(system, system.argument, 0)
    for tile in range(system.first, system.last):
        _interpolate(system, at, step, w, tile, value)
        store_rows(system, tile, 0, value, memory)


@linked(SYSTEM, INT, INT)
def store_state(system: Any, half: int, memory: int) -> None:
    """Writes the state at one end of the step to the caller's memory."""
    for tile in range(system.first, system.last):
        store_rows(system, tile, 0, rows_of(system, end_of(system, system.y, half), tile), memory)


@linked(SYSTEM, GOAL, PROGRESS, STEP, FLOAT)
def end_interval(system: Any, goal: Any, at: Any, step: Any, x: float) -> None:
    """Leaves the augmented state at the fraction x of the step, and by how much y misses the stored state."""
    w, stored = weights(system, x), own(system, system.argument, 1)
    misses, sizes = (
        doubles(goal.misses, goal.interval * system.tiles, system.tiles),
        doubles(goal.sizes, 0, system.tiles),
    )
    for tile in range(system.first, system.last):
        value = rows_of(system, goal.adjoint, tile)
        _interpolate(system, at, step, w, tile, value)
        load_rows(system, tile, 0, goal.stored, stored)
        for e in range(system.width * lanes_of(system, tile)):
            misses[tile] = max(misses[tile], abs(float(value[e] - stored[e])))
            sizes[tile] = max(sizes[tile], abs(float(stored[e])))
    quadrature.end(system, at, x, step.dt)


@linked(SYSTEM, GOAL, PROGRESS, STEP)
def take_nodes(system: Any, goal: Any, at: Any, step: Any) -> None:
    """As many states of a step as fix its interpolant together with its start."""
    for i in range(1, system.degree + 1):
        x = i / system.degree
        at.node = step.end if i == system.degree else step.start + x * (step.end - step.start)
        place = (at.kept - 1 - goal.first_kept) * system.degree + i - 1
        if goal.leads:
            doubles(goal.node_times, place, 1)[0] = at.node
        state_at(system, at, step, x, place_of(system, goal.node_states, goal.size, place))
        at.times_reached += 1
