"""The control of the steps of a method: a grid, or a controller by an estimate of the error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# A grid gives the steps, or an estimate of the error chooses them. Whether all trajectories of a batch share
# their steps is a setting of the solve.
Control = Literal["fixed", "error"]

# The longest search for an event by steps of one size, as in torchdiffeq.
MOST_STEPS_TO_EVENT = 20000


@dataclass(frozen=True)
class Controller:
    """The elementary controller: Hairer, Norsett, Wanner, Solving Ordinary Differential Equations I, II.4.

    It aims below the tolerance by ``safety``. A step grows by at most ``ifactor``, and shrinks by at most
    ``dfactor``, but not after one that was accepted.
    """

    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2


CONTROLLER = Controller()


@dataclass(frozen=True, eq=False)
class FirstStep:
    """The automatic first step of the same book: a probe of the field gives the norm of its derivative.

    Attributes:
        share: Of the state that the probe moves it by, and of the tolerance that the first step takes.
        least_norm: A state or a slope of less, over the tolerance, is zero.
        least_step: The probe where one of them is, and the least step in a constant field.
        flat: A field is constant if the norms of slope and derivative are no more.
        flat_growth: The step where it is, over the probe.
        most_growth: The largest step over the probe.
    """

    share: float = 0.01
    least_norm: float = 1e-5
    least_step: float = 1e-6
    flat: float = 1e-15
    flat_growth: float = 1e-3
    most_growth: float = 100.0


FIRST_STEP = FirstStep()
