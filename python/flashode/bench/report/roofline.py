"""Which share of the machine's arithmetic and of its memory bandwidth a measurement used."""

from __future__ import annotations

from flashode.bench.records.record import Record

# A reverse step computes the field again, and multiplies by its transpose for state and parameters.
REVERSE = 3
# An evaluation reads a state and writes its rate, and need not touch memory for anything else.
ACCESSES = 2


def arithmetic_share(record: Record, peak: float) -> float | None:
    """The share of the FMA peak that a solve reached, with its exact reverse where the mode is "discrete".

    The reverse is taken to ask the field as often as the solve did; where steps were rejected, which it
    passes over, the share is too large by as much. None where time, arithmetic or evaluations are not known,
    and for other modes, whose reverse is not a known multiple of an evaluation.

    Args:
        record: Of one contender.
        peak: In flop/s, on as many threads and in the same precision.
    """
    return _share(record, record.flops, peak)


def bandwidth_share(record: Record, peak: float) -> float | None:
    """The share of the memory bandwidth that a solve would need if no cache kept a state between evaluations.

    A solver that keeps its tiles in cache may exceed 1. None where `arithmetic_share` is.

    Args:
        record: Of one contender.
        peak: In byte/s, on as many threads.
    """
    moved = None if record.state_bytes is None else ACCESSES * record.state_bytes
    return _share(record, moved, peak)


def _share(record: Record, each: int | None, peak: float) -> float | None:
    """The share of a peak rate, from the cost of an evaluation of the field."""
    passes = {"forward": 1, "discrete": 1 + REVERSE}.get(record.mode)
    if passes is None or not record.median or each is None or record.evaluations is None:
        return None
    return passes * record.evaluations * each / record.median / peak
