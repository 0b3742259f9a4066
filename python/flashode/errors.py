"""Errors and warnings of solves."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

if TYPE_CHECKING:
    import torch

    from flashode.statistics import Statistics


class Reached(TypedDict, total=False):
    """How far a solve came before it failed; see :class:`SolverError`."""

    statistics: Statistics | None
    t: float | None
    times: torch.Tensor | None
    partial: torch.Tensor | tuple[torch.Tensor, ...] | None


class SolverError(RuntimeError, AssertionError):
    """A solve that started and could not reach the last output time.

    It is an ``AssertionError`` too, because that is what torchdiffeq raises and what programs written for it
    catch.

    Attributes:
        statistics: Evaluations and steps done before the failure, or None if it is not known.
        t: The time of the failure, in the caller's own time, or None if it is not known.
        times: 1-D tensor of the output times that were reached.
        partial: The solution at ``times``: shape ``(len(times), *state)``, or a tuple of such for a tuple
            state.
    """

    def __init__(
        self,
        message: str,
        *,
        statistics: Statistics | None = None,
        t: float | None = None,
        times: torch.Tensor | None = None,
        partial: torch.Tensor | tuple[torch.Tensor, ...] | None = None,
    ) -> None:
        super().__init__(message)
        self.statistics = statistics
        self.t = t
        self.times = times
        self.partial = partial


class NonFiniteError(SolverError):
    """A NaN or an infinity turned up and no smaller step avoids it.

    Attributes:
        trajectory: Index of the first bad trajectory over the leading dimensions of the state (all but the
            last), or None where the state has no leading dimension or the trajectory is not known.
        origin: ``"field"`` if the function gave the value at a finite state, ``"state"`` if the state had it
            first or overflowed, ``"event"`` if the event function gave it, ``"gradient"`` if it came into a
            backward pass.
    """

    def __init__(
        self,
        message: str,
        *,
        trajectory: tuple[int, ...] | None = None,
        origin: str = "state",
        **reached: Unpack[Reached],
    ) -> None:
        super().__init__(message, **reached)
        self.trajectory = trajectory
        self.origin = origin


class StepSizeUnderflow(SolverError):
    """The step became too small to advance time.

    Attributes:
        dt: The step that was too small.
    """

    def __init__(self, message: str, *, dt: float | None = None, **reached: Unpack[Reached]) -> None:
        super().__init__(message, **reached)
        self.dt = dt


class MaxStepsExceeded(SolverError):
    """One output interval took more than ``max_num_steps`` steps."""


class FallbackWarning(UserWarning):
    """A solve runs in a slower engine than the preferred one; the message says why."""


class AdjointWarning(UserWarning):
    """A continuous adjoint did not come back to the states of the forward solve: gradients may be wrong."""


class ConvergenceWarning(UserWarning):
    """The equations of an implicit step were not solved in the iterations allowed; the solve went on."""
