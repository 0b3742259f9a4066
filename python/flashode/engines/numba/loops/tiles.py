"""Where the rows of tiles are."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.calls import integers, numbers
from flashode.engines.numba.loops.jit import expanded, strict


@expanded
def lanes_of(system: Any, tile: int) -> int:
    """How many trajectories a tile has."""
    return min(system.lanes, system.batch - tile * system.lanes)


@expanded
def rows_of(system: Any, address: int, tile: int) -> Any:
    """The integrated rows of a tile in memory of all tiles."""
    return numbers(
        address, system.one, tile * system.lanes * system.rows, system.rows * lanes_of(system, tile)
    )


@expanded
def end_of(system: Any, address: int, half: int) -> int:
    """Of memory for both ends of a step the address of one."""
    return address + half * system.rows * system.batch * system.itemsize


@expanded
def own(system: Any, address: int, which: int) -> Any:
    """Of a worker's memory for tiles the which-th."""
    size = system.rows * system.lanes
    return numbers(address, system.one, which * size, size)


@expanded
def own_stages(system: Any) -> Any:
    """A worker's stages of a tile, one after the other."""
    return numbers(system.k, system.one, 0, system.stages * system.rows * system.lanes)


@strict
def load_rows(system: Any, tile: int, row: int, memory: int, to: Any) -> None:
    """The state of a tile's trajectories, from the caller's memory into rows from ``row`` on."""
    n, first = lanes_of(system, tile), tile * system.lanes
    to_at, at = row * n, 0
    state = numbers(memory, system.one, 0, system.width * system.batch)
    for count in integers(system.parts, 0, system.part_count):
        for r in range(count):
            for lane in range(n):
                to[to_at + lane] = state[at + (first + lane) * count + r]
            to_at += n
        at += count * system.batch


@strict
def store_rows(system: Any, tile: int, row: int, values: Any, memory: int) -> None:
    """The same the other way."""
    n, first = lanes_of(system, tile), tile * system.lanes
    from_at, at = row * n, 0
    state = numbers(memory, system.one, 0, system.width * system.batch)
    for count in integers(system.parts, 0, system.part_count):
        for r in range(count):
            for lane in range(n):
                state[at + (first + lane) * count + r] = values[from_at + lane]
            from_at += n
        at += count * system.batch


@expanded
def counts(system: Any, segment: int) -> tuple[int, int]:
    """The rows of a segment: the first, and the first after them."""
    ends = integers(system.segments, 2 * segment, 2)
    return ends[0], ends[1]
