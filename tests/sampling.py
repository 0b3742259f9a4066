"""How much of a sweep is tried: FLASHODE_SWEEP=all tries all of it, another number than 0 another part."""

import os
import random
from collections.abc import Iterable
from typing import TypeVar

Item = TypeVar("Item")
_PART = os.environ.get("FLASHODE_SWEEP", "0")
WHOLE = _PART == "all"


def sampled(items: Iterable[Item], count: int, name: str) -> list[Item]:
    """So many of the items, the same ones each time.

    Args:
        items: all of them.
        count: how many are tried every day.
        name: of the sweep, so that each draws its own.
    """
    everything = list(items)
    if WHOLE or count >= len(everything):
        return everything
    return random.Random(f"{name} {_PART}").sample(everything, count)
