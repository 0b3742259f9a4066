"""What the loops say of a solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flashode.engines.generated.locate import Equations, Stop, locate
from flashode.engines.numba.loops.records import Status


@dataclass
class NumbaOutcome:
    """As :class:`flashode.engines.compiled.outcome.Outcome`."""

    done: bool
    status: Status
    t: float = 0.0
    dt: float = 0.0
    trajectory: int = -1
    row: int = 0
    times_reached: int = 0
    evaluations: int = 0
    accepted: int = 0
    rejected: int = 0
    nan_met: bool = False
    unconverged: int = 0
    unconverged_t: float = 0.0
    event_t: float = 0.0
    miss: float = 0.0
    miss_t: float = 0.0
    size: float = 0.0
    seconds: float = 0.0
    waited: float | None = None  # the workers that meet have no clock


def outcome_of(progress: Any, seconds: float) -> NumbaOutcome:
    """From where a solve has ended, or adjoint equations, which have no output times and no event."""
    names = progress.dtype.names
    status = Status(int(progress["status"]))
    return NumbaOutcome(
        status == Status.done,
        status,
        float(progress["failed_t"]),
        float(progress["failed_dt"]),
        times_reached=int(progress["times_reached"]) if "times_reached" in names else 0,
        evaluations=int(progress["evaluations"]),
        accepted=int(progress["accepted"]),
        rejected=int(progress["rejected"]),
        nan_met=bool(progress["nan_met"]),
        event_t=float(progress["event_t"]) if "event_t" in names else 0.0,
        seconds=seconds,
    )


def located(outcome: NumbaOutcome, equations: Equations, stop: Stop) -> NumbaOutcome:
    """The outcome of a solve that failed, with the trajectory and the row that are to blame, if any are."""
    place = locate(equations, outcome.status.name, stop)
    if place is not None:
        outcome.status = Status[place.status]
        outcome.trajectory, outcome.row = place.trajectory, place.row
    return outcome
