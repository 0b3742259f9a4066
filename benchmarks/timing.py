"""How long a call takes."""

from __future__ import annotations

import timeit
from collections.abc import Callable

REPEATS = 7
SECONDS = 0.03


def least_seconds(run: Callable[[], object]) -> float:
    """The least seconds of a call, over ``REPEATS`` rounds of ``SECONDS`` each, after a first one."""
    timer = timeit.Timer(run)
    timer.timeit(1)
    count = max(1, int(SECONDS / max(timer.timeit(2) / 2, 1e-6)))
    return min(timer.repeat(REPEATS, count)) / count
