"""Memory held for a moment, from a module that a process of its own can import."""

import torch

from flashode.bench.measuring.memory import raised

MEGABYTE = 2**20


def small_after_large() -> tuple[int, int]:
    """By how many bytes holding 200 MB, and afterwards 40 MB, raises the memory of this process."""
    return raised(lambda: _hold(200)), raised(lambda: _hold(40))


def _hold(megabytes: int) -> None:
    torch.ones(megabytes * MEGABYTE // 4)
