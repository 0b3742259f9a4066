"""Where a solve on a device left the numbers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.outcome import Outcome
from flashode.engines.generated.locate import Equations, Stop, locate


def located(equations: Equations, stand: Any, rows: Tensor, outcome: Any) -> Outcome:
    """The outcome of a solve that failed, with the trajectory and the row that are to blame, if any are.

    Args:
        equations: What was integrated.
        stand: Where it stopped.
        rows: ``(5, tiles, width, lanes)``: states at both ends of the step, their slopes, its middle.
        outcome: What the kernel says.
    """
    trajectories = rows.transpose(2, 3).flatten(1, 2)[:, : equations.batch]
    half = stand.half
    stop = Stop(stand.t, stand.tried, trajectories[half], trajectories[2 + half], trajectories[3 - half])
    place = locate(equations, outcome.status.name, stop)
    if place is None:
        return outcome  # type: ignore[no-any-return]
    status = getattr(_flashode.Status, place.status)
    return outcome.located(status=status, trajectory=place.trajectory, row=place.row)  # type: ignore[no-any-return]
