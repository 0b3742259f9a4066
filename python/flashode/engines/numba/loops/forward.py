"""The forward solve."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.calls import doubles
from flashode.engines.numba.loops.integrate import integrate
from flashode.engines.numba.loops.linked import SYSTEM, linked
from flashode.engines.numba.loops.outputs import store_state
from flashode.engines.numba.loops.records import GOAL, PROGRESS, STEP
from flashode.engines.numba.loops.tiles import end_of, load_rows, rows_of


@linked(SYSTEM, GOAL, PROGRESS, STEP)
def forward(system: Any, goal: Any, at: Any, step: Any) -> None:
    """Solves, or goes on; all workers call this."""
    if not at.begun:
        at.t = at.node = doubles(goal.times, 0, 1)[0]
        for tile in range(system.first, system.last):
            load_rows(system, tile, 0, goal.y0, rows_of(system, end_of(system, system.y, 0), tile))
        if goal.states != 0:
            store_state(system, 0, goal.states)
    integrate(system, goal, at, step)
