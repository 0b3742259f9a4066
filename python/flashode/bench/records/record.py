"""The measurements: one record for each contender in each case."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

Parameter = int | float | str


@dataclass
class Record:
    """The measurements of one contender in one case. What was not measured is None, or empty.

    Attributes:
        study: Name of the study that asked.
        case: Name of the workload or problem.
        parameters: What the study varies, by name, such as ``{"steps": 100}``.
        library: The contender's library.
        mode: The contender's mode.
        label: How a reader knows the contender.
        engine: Which of our engines did it, where the library is ours.
        seconds: Of one run each, in the order of measuring.
        first_seconds: Of the first run, with whatever is captured or compiled once.
        peak_bytes: By how much a run raised the memory of its process, or of its device.
        evaluations: Calls of the field in the solve, for the whole batch at once.
        backward_evaluations: Calls of the field in the reverse pass.
        flops: Arithmetic of one evaluation for the whole batch.
        state_bytes: Size of the whole batch's state.
        parts: Of our own solve without gradients: seconds by what took them, see `Breakdown`.
        error: Of the states, see `Answer.error`.
        gradient_error: Of the gradients, see `Answer.gradient_error`.
        failure: Why there is no time: what is missing, cannot be done, took too long or went wrong.
        wrong: Whether the answer was too far from the truth to be timed.
    """

    study: str
    case: str
    parameters: Mapping[str, Parameter]
    library: str
    mode: str
    label: str
    engine: str | None = None
    seconds: list[float] = field(default_factory=list)
    first_seconds: float | None = None
    peak_bytes: int | None = None
    evaluations: int | None = None
    backward_evaluations: int | None = None
    flops: int | None = None
    state_bytes: int | None = None
    parts: Mapping[str, float] | None = None
    error: float | None = None
    gradient_error: float | None = None
    failure: str | None = None
    wrong: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What identifies the measurement in any run of the suite."""
        return (self.study, self.case, *sorted(self.parameters.items()), self.library, self.mode)

    @property
    def median(self) -> float | None:
        """The median time of one run in seconds, or None."""
        return statistics.median(self.seconds) if self.seconds else None
