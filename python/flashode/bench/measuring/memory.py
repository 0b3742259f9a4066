"""By how much one run raises the memory of its process, or what its device's allocator holds."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


def raised(run: Callable[[], object], device: str = "cpu") -> int | None:
    """The bytes by which a call, at its peak, raises the memory that is held.

    Args:
        run: Called once.
        device: "cpu" for the memory of this process, as the system counts it; "cuda" for what PyTorch's
            allocator holds there.

    Returns:
        None where the system cannot forget an earlier height, which only Linux can: what this call took
        would not be told from what an earlier one did.
    """
    if device == "cuda":
        return _raised_on_device(run)
    if os.access(_PROCESS / "clear_refs", os.W_OK):
        return _raised_in_process(run)
    run()
    return None


def physical_memory() -> int:
    """The memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _raised_on_device(run: Callable[[], object]) -> int:
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _raised_in_process(run: Callable[[], object]) -> int:
    gc.collect()
    # Freed blocks that the allocator still holds would hide as much of the run's own.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    (_PROCESS / "clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    for line in (_PROCESS / "status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise OSError(f"{_PROCESS / 'status'} has no line {name}")
