"""Where workers meet: the norms and findings of a whole batch."""

from __future__ import annotations

import math
from typing import Any

from flashode.engines.numba.loops.calls import doubles, fetch_add, load_atomic, numbers, yield_processor
from flashode.engines.numba.loops.jit import expanded, fused, strict
from flashode.engines.numba.loops.tiles import counts, lanes_of
from flashode.engines.numba.machine_code import rounded_as

# Looks at the others before a worker leaves its processor to them: some microseconds.
_LOOKS = 2000


@strict
def meet(system: Any, at: Any) -> None:
    """Waits until all workers are here, and sees what they wrote."""
    at.round += 1
    if system.workers == 1:
        return
    fetch_add(system.arrivals, 1)
    wanted, looks = at.round * system.workers, 0
    while load_atomic(system.arrivals) < wanted:
        looks += 1
        if looks > _LOOKS:
            yield_processor()


@expanded
def _published(system: Any, tile: int, meeting: int) -> Any:
    """What is published of a tile at a meeting, in memory of its own: the last one's is still read."""
    place = (meeting & 1) * system.tiles + tile
    return doubles(system.sums, place * system.sum_count, system.sum_count)


@expanded
def publish(system: Any, at: Any, tile: int, which: int, number: float) -> None:
    """Lets the others know something of a tile when workers meet next."""
    _published(system, tile, at.round + 1)[which] = number


@expanded
def published(system: Any, at: Any, tile: int, which: int) -> float:
    """What was published of a tile at the last meeting."""
    return _published(system, tile, at.round)[which]


@strict
def total(system: Any, at: Any, which: int) -> float:
    """The sum of what was published of all tiles at the last meeting, in their order."""
    result = 0.0
    for tile in range(system.tiles):
        result += published(system, at, tile, which)
    return result


@strict
def anywhere(system: Any, at: Any, found: bool) -> bool:
    """Whether any worker has found something."""
    for tile in range(system.first, system.last):
        publish(system, at, tile, 0, 1.0 if found else 0.0)
    meet(system, at)
    return total(system, at, 0) > 0.0


@expanded
def larger(a: float, b: float) -> float:
    """The larger of two norms; NaN is larger than any."""
    return a if math.isnan(a) or a > b else b


@fused
def publish_squares(system: Any, at: Any, tile: int, error: Any, y0: Any, y1: Any) -> None:
    """Publishes the sums of squares of a tile's errors over their tolerances.

    Sums are of lanes first: these are in vectors.
    """
    n, one = lanes_of(system, tile), system.one
    squares = doubles(system.squares, 0, n)
    state = tile * system.lanes * system.width
    rtols = numbers(system.rtols, one, state, system.width * n)
    atols = numbers(system.atols, one, state, system.width * n)
    rtol, atol = rounded_as(system.rtol, one), rounded_as(system.atol, one)
    uniform = system.rtols == 0 and system.atols == 0
    for segment in range(system.segment_count):
        for lane in range(n):
            squares[lane] = 0.0
        begin, end = counts(system, segment)
        for row in range(begin, end):
            at_row = row * n
            if uniform:
                for lane in range(n):
                    e = at_row + lane
                    m0, m1 = abs(y0[e]), abs(y1[e])
                    scaled = error[e] / (atol + rtol * (m0 if m0 > m1 else m1))
                    squares[lane] += scaled * scaled
            else:
                for lane in range(n):
                    e = at_row + lane
                    m0, m1 = abs(y0[e]), abs(y1[e])
                    relative = rtol if system.rtols == 0 else rtols[e]
                    absolute = atol if system.atols == 0 else atols[e]
                    scaled = error[e] / (absolute + relative * (m0 if m0 > m1 else m1))
                    squares[lane] += scaled * scaled
        result = 0.0
        for lane in range(n):
            result += squares[lane]
        publish(system, at, tile, segment, result)


@strict
def norm(system: Any, at: Any) -> float:
    """The largest root mean square of a segment, of what workers published; they meet here."""
    meet(system, at)
    largest = 0.0
    for segment in range(system.segment_count):
        begin, end = counts(system, segment)
        count = (end - begin) * system.batch
        largest = larger(largest, math.sqrt(total(system, at, segment) / count))
    return largest
