"""The exact reverse of a solve's steps, last first, one tile after another.

No worker asks what another does.
"""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.calls import integers, numbers
from flashode.engines.numba.loops.combine import add_scaled
from flashode.engines.numba.loops.jit import strict
from flashode.engines.numba.loops.linked import SYSTEM, linked
from flashode.engines.numba.loops.records import LINEAR, REVERSE, STEP
from flashode.engines.numba.loops.reverse_step import (
    COTANGENT,
    GRAD_LAST,
    GRAD_Y,
    outputs,
    recompute,
    reverse_stages,
    row_of,
    start_of,
)
from flashode.engines.numba.loops.tiles import lanes_of, load_rows, store_rows


@strict
def _begin_tile(system: Any, reverse: Any) -> None:
    reverse.index = reverse.step_count
    reverse.begin = reverse.time_count
    which = integers(reverse.step_of_time, 0, reverse.time_count)
    while reverse.begin > 0 and which[reverse.begin - 1] >= reverse.index:
        reverse.begin -= 1
    grad_y, grad_last = row_of(system, reverse, GRAD_Y), row_of(system, reverse, GRAD_LAST)
    for e in range(len(grad_y)):
        grad_y[e] = grad_last[e] = 0.0
    context = numbers(reverse.context, system.one, 0, system.context_width * system.lanes)
    for e in range(len(context)):
        context[e] = 0.0
    reverse.started = True


@strict
def _end_tile(system: Any, reverse: Any) -> None:
    """Outputs that are the initial state, and the gradients of the tile's trajectories."""
    tile, n = reverse.tile, lanes_of(system, reverse.tile)
    grad_y, cotangent = row_of(system, reverse, GRAD_Y), row_of(system, reverse, COTANGENT)
    for j in range(reverse.begin):
        load_rows(system, tile, 0, reverse.grad_states + j * reverse.size * system.itemsize, cotangent)
        add_scaled(system.one, cotangent, system.width * n, grad_y)
    store_rows(system, tile, 0, grad_y, reverse.grad_y0)
    width, first = system.context_width, tile * system.lanes
    context = numbers(reverse.context, system.one, 0, width * n)
    to = numbers(reverse.grad_c, system.one, 0, width * system.batch)
    for row in range(width):
        for lane in range(n):
            to[(first + lane) * width + row] = context[row * n + lane]
    reverse.started = False


@strict
def _reverse_step(system: Any, reverse: Any, step: Any) -> None:
    start = start_of(system, reverse)
    lies_within = reverse.begin < reverse.end
    dense = 1 if lies_within and system.interpolant != LINEAR else 0
    recompute(system, reverse, step, start, dense)
    if lies_within:
        outputs(system, reverse, step, start)
    reverse_stages(system, reverse, step, start, dense)


@linked(SYSTEM, REVERSE, STEP)
def discrete(system: Any, reverse: Any, like: Any) -> None:
    """Goes back from where it stands; ``like`` is any step."""
    steps = numbers(reverse.steps, like, 0, reverse.step_count)
    which = integers(reverse.step_of_time, 0, reverse.time_count)
    while reverse.tile < system.last:
        if not reverse.started:
            _begin_tile(system, reverse)
        while reverse.index > 0:
            if reverse.budget <= 0:
                return
            reverse.budget -= 1
            reverse.index -= 1
            reverse.end = reverse.begin
            while reverse.begin > 0 and which[reverse.begin - 1] == reverse.index:
                reverse.begin -= 1
            _reverse_step(system, reverse, steps[reverse.index])
        _end_tile(system, reverse)
        reverse.tile += 1
