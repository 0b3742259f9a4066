"""Who chooses the steps of a method, and what is known of them before a solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# "given": the steps are those of a grid; "error": an estimate of the error chooses them. Whether all
# trajectories of a batch share their steps is a setting of the solve.
Control = Literal["given", "error"]

# The longest search for an event by given steps, as in torchdiffeq.
MOST_STEPS_TO_EVENT = 20000


@dataclass(frozen=True)
class Controller:
    """The elementary controller: a step of size h whose error norm is e is followed by one of size
    ``h * safety / e ** (1 / order)``, within limits.

    Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4 (4.13).

    Attributes:
        safety: Aims below the tolerance by this factor.
        ifactor: A step grows by at most this.
        dfactor: A step shrinks by at most this, and not at all after one that was accepted.
    """

    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2


CONTROLLER = Controller()


@dataclass(frozen=True, eq=False)
class FirstStep:
    """The automatic first step: Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4.

    All norms are scaled by the tolerances. A probe of the field at a distance h from the start gives the norm
    of the second derivative; with it the method's error would be ``share`` after the first step.

    Attributes:
        share: Of the state's norm that the probe moves it by, and of the tolerance that the first step takes.
        least_norm: State or slope are zero if their norm is less.
        least_step: The probe where one of them is zero, and the least step where the field is constant.
        flat: The field is constant if the norms of the slope and of the second derivative are no more.
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
