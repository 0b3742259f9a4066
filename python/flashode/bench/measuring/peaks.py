"""The most that the machine can do: multiply-adds in registers, and triads in main memory."""

from __future__ import annotations

from flashode.engines import native

# Several short windows, because a virtual machine does not always have all of its processors.
WINDOWS = 8
SECONDS = 0.05
# Of the three arrays together: more than the caches of most machines hold.
TRIAD_BYTES = 384 * 2**20


def peaks(threads: int) -> dict[str, float]:
    """Peaks of one thread and of so many threads, with the instruction set that our engine runs on.

    To be called in a process that may use so many processors, at the begin and at the end of a run.

    Returns:
        flop/s under "fma float32 1", byte/s under "bandwidth 1", and so on, the number that of threads.
        Nothing where this installation has no compiled engine.
    """
    best: dict[str, float] = {}
    for count in sorted({1, threads}):
        for precision in ("float32", "float64"):
            rates = [native.arithmetic_rate(precision, count, SECONDS) for _ in range(WINDOWS)]
            best |= _best(f"fma {precision} {count}", rates)
        # A single window: each allocates new arrays, which takes longer than to measure.
        best |= _best(f"bandwidth {count}", [native.memory_rate(TRIAD_BYTES, count, WINDOWS * SECONDS)])
    return best


def larger(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """Of each peak the larger of two measurements: whatever disturbs one makes it smaller."""
    return {name: max(first.get(name, 0.0), second.get(name, 0.0)) for name in first | second}


def _best(name: str, rates: list[float | None]) -> dict[str, float]:
    measured = [rate for rate in rates if rate is not None]
    return {name: max(measured)} if measured else {}
