"""By how much one run of a contender raises the memory of its process."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flashode.bench.contenders import contender
from flashode.bench.workloads import Workload

_PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Usage:
    """What a contender took to run once.

    Attributes:
        first_seconds: Of the first run, with whatever is captured or compiled once.
        peak_bytes: What a run needs on top of what its process holds between runs; None where the first
            run took longer than there was patience for another.
    """

    first_seconds: float
    peak_bytes: int | None


def usage(workload: Workload, library: str, mode: str, patience: float) -> Usage:
    """Runs a contender, and once more for its peak. To be called in a process of its own.

    Raises:
        Unsupported: If the contender cannot do the work.
    """
    prepared = contender(library, mode).prepare(workload)
    # A height that cannot be forgotten is that of the first run ever after.
    first: list[int] = []
    began = time.perf_counter()
    if _resettable():
        prepared.run()
    else:
        first.append(raised(prepared.run))
    seconds = time.perf_counter() - began
    if not first and seconds <= patience:
        first.append(raised(prepared.run))
    return Usage(seconds, first[0] if first else None)


def raised(run: Callable[[], object]) -> int:
    """By how many bytes a call raises the memory of this process at its height.

    Where the system cannot forget an earlier height, as on macOS, only what exceeds that is seen.
    """
    return _raised_from_reset(run) if _resettable() else _raised(run)


def physical_memory() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _resettable() -> bool:
    return os.access(_PROCESS / "clear_refs", os.W_OK)


def _raised_from_reset(run: Callable[[], object]) -> int:
    gc.collect()
    # Freed blocks that the allocator still holds would hide as much of the run's own.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    (_PROCESS / "clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return max(0, _status("VmHWM") - before)


def _raised(run: Callable[[], object]) -> int:
    before = _height()
    run()
    return _height() - before


def _height() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int:
    for line in (_PROCESS / "status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_PROCESS / 'status'} has no line {name}")
