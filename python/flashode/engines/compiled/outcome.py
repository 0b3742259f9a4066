"""What a backend says of a solve."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor


class Outcome(Protocol):
    """How a solve ended, and what it cost.

    Attributes:
        done: Whether it did what was asked for.
        status: How it ended. Its ``name`` is ``done``, ``nonfinite_field``, ``nonfinite_state``,
            ``nonfinite_event``, ``underflow`` or ``too_many_steps``.
        t: Where one that failed stood, in solver time.
        dt: The step that it was trying.
        trajectory: Where a value is not finite; negative where that is not known.
        row: In which row of its state; rows of the adjoint state follow.
        times_reached: How many outputs there are.
        evaluations: Of the field.
        accepted: Steps.
        rejected: Steps.
        nan_met: Whether an error of a step, or a slope that one was to start with, was NaN.
        unconverged: Steps whose equations were not solved.
        unconverged_t: Where the first of them started.
        event_t: Of a solve until an event.
        miss: By how much at most an element of the state, integrated back to an output time, misses the
            one that is stored there.
        miss_t: Which time that is.
        size: The largest element of the stored states.
        seconds: That the solve took.
        waited: Of these, seconds that the calling thread was idle until others were done; None where that is
            not measured.
    """

    done: bool
    status: Any
    t: float
    dt: float
    trajectory: int
    row: int
    times_reached: int
    evaluations: int
    accepted: int
    rejected: int
    nan_met: bool
    unconverged: int
    unconverged_t: float
    event_t: float
    miss: float
    miss_t: float
    size: float
    seconds: float

    @property
    def waited(self) -> float | None: ...


class ForwardResult(NamedTuple):
    """A solve.

    Attributes:
        outcome: How it ended.
        log: The backend's account of the steps, for the reverse; None where nothing is recorded.
        steps: How many steps that has.
        checkpoints: What the reverse needs in bulk.
        nodes: Where every step has outputs, their times, float64 on the CPU, and their states, flat.
    """

    outcome: Outcome
    log: Any = None
    steps: int = 0
    checkpoints: tuple[Tensor, ...] = ()
    nodes: tuple[Tensor, Tensor] | None = None
