"""Which share of the machine's arithmetic a measurement used."""

from __future__ import annotations

from flashode.bench.records import Record

# A reverse step computes the field again, and multiplies by its transpose for state and parameters.
REVERSE = 3


def arithmetic_share(record: Record, peak: float) -> float | None:
    """The share of the FMA peak that a solve reached, with its exact reverse where the mode is "discrete".

    The reverse asks the field as often as the solve did. None where time, arithmetic or evaluations are not
    known, and for other modes, whose reverse is not a known multiple of an evaluation.

    Args:
        record: Of one contender.
        peak: In flop/s, on as many threads and in the same precision.
    """
    passes = {"forward": 1, "discrete": 1 + REVERSE}.get(record.mode)
    if passes is None or not record.median or record.flops is None or record.evaluations is None:
        return None
    return passes * record.evaluations * record.flops / record.median / peak
