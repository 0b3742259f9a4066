"""Where gradients in times go when steps are reversed."""

from __future__ import annotations

from typing import Any

from flashode.engines.numba.loops.calls import doubles
from flashode.engines.numba.loops.jit import strict


@strict
def stretches(system: Any, reverse: Any) -> bool:
    """Whether the size of the step at hand moves.

    The ends of given steps are the user's times; a chosen one that a prescribed time has shortened is as
    long as is left from its start, if that moves.
    """
    return not system.adaptive or reverse.index == reverse.moving


@strict
def add_ends(system: Any, reverse: Any, start: float, end: float) -> None:
    """Adds gradients in the times of both ends of a step.

    Those of given steps are grid points. Sizes of chosen steps are constants, so all times move with the
    start, up to the first step that ends on a prescribed one.
    """
    group = reverse.tile // system.group_tiles
    sums, index = doubles(reverse.grid_sums, group * reverse.points, reverse.points), reverse.index
    if not system.adaptive:
        sums[index] += start
        sums[index + 1] += end
    elif index < reverse.moving:
        sums[0] += start + end
    elif index == reverse.moving:
        sums[0] += start


@strict
def add_output(
    system: Any, reverse: Any, j: int, x: float, dt: float, of_fraction: float, of_dt: float
) -> None:
    """What the cotangent of output j, at the fraction x of the step, leaves there.

    Its time moves it along the slope, and the start of the step the other way; a node is always at the same
    fraction.
    """
    group, rate = reverse.tile // system.group_tiles, of_fraction / dt
    doubles(reverse.time_sums, group * reverse.time_count, reverse.time_count)[j] += rate
    add_ends(system, reverse, -rate * (1.0 - x) - of_dt, -rate * x + of_dt)


@strict
def rate_of_loss(cotangent: Any, slope: Any, n: int) -> float:
    """The sum of products; where the cotangent is zero, a slope that is NaN does not matter."""
    result = 0.0
    for e in range(n):
        if cotangent[e] != 0.0:
            result += float(cotangent[e] * slope[e])
    return result
