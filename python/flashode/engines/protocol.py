"""The interfaces of an engine, of its plan for one solve, and of what a plan returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from flashode.declined import Declined
    from flashode.problem import Gradient, Problem
    from flashode.problem.adjoint_norm import AugmentedNorm
    from flashode.statistics import Statistics


@dataclass
class Forward:
    """One solve.

    Attributes:
        states: Solution at the output times, shape ``(times, *state)``, the state flat for tuple problems.
        statistics: What it cost.
        record: What the plan's ``discrete_vjp`` or ``continuous_vjp`` needs, or None.
        checkpoints: What it needs in bulk: tensors, so that autograd can free them after the reverse pass;
            None for each that is empty.
        times: Where the solve finds them itself, the solver times of the outputs: 1-D, float64, on the CPU.
    """

    states: torch.Tensor
    statistics: Statistics
    record: object | None = None
    checkpoints: tuple[torch.Tensor | None, ...] = ()
    times: torch.Tensor | None = None


@dataclass
class Gradients:
    """Gradients of a solve.

    Attributes:
        y0: Shape of the state.
        t: Gradient in ``Problem.t``, which is solver time, or None if it does not require grad.
        parameters: One for each of the plan's parameters.
        statistics: What the reverse cost, where that is known.
    """

    y0: torch.Tensor
    t: torch.Tensor | None
    parameters: tuple[torch.Tensor | None, ...]
    statistics: Statistics | None = None


class Undecided(Exception):
    """Raised by a plan's ``forward``: the solve met what the engine does not know, and another plan does.

    Attributes:
        plan: The plan that is to run in its place. Nothing has been counted or written yet.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__("the solve is another engine's")
        self.plan = plan


class PlannedKernel(Protocol):
    """A kernel of a solve, or of its reverse pass, that is compiled for the function."""

    @property
    def name(self) -> str:
        """What it does: ``forward``, ``discrete_vjp`` or ``continuous_vjp``."""

    @property
    def facts(self) -> tuple[str, ...]:
        """How it spreads the work, what it keeps where, and, once it is compiled, what it takes."""

    @property
    def source(self) -> str:
        """The text that is compiled."""

    def compile(self) -> float | None:
        """Compile it.

        Returns:
            Seconds that this took; None where it was compiled before, by this process or by one that left it
            on the disk.
        """


class Plan(Protocol):
    """One engine's way of running one solve."""

    @property
    def engine(self) -> str:
        """Name of the engine that runs it."""

    @property
    def reversible(self) -> bool:
        """Whether it has a discrete vjp of its own; otherwise autograd reverses ``differentiable``."""

    @property
    def event_called(self) -> Declined | None:
        """Why the event function is called from Python, where all else is not."""

    @property
    def parameters(self) -> tuple[torch.Tensor, ...]:
        """Tensors that receive gradients, read afresh for this solve."""

    @property
    def statistics(self) -> Statistics | None:
        """What the solve cost, by ``forward``, or by ``differentiable`` of an irreversible plan."""

    def kernels(self, *, reverse: bool) -> tuple[PlannedKernel, ...]:
        """What is compiled for the solve, with ``reverse`` for its reverse pass as well; often nothing is."""

    def forward(self, *, record: bool) -> Forward:
        """Solve without autograd; ``record`` asks for what the plan's vjp needs."""

    def discrete_vjp(
        self, record: object, checkpoints: tuple[torch.Tensor | None, ...], grad_states: torch.Tensor
    ) -> Gradients:
        """Exact reverse of the discrete solve that kept ``record`` and ``checkpoints``; if reversible.

        Times of outputs that the solve itself chose depend on ``Problem.t`` as
        :func:`flashode.problem.connected_times` has it.
        """

    def continuous_vjp(
        self,
        record: object,
        checkpoints: tuple[torch.Tensor | None, ...],
        states: torch.Tensor,
        grad_states: torch.Tensor,
        times: torch.Tensor | None = None,
        norm: AugmentedNorm | None = None,
    ) -> Gradients:
        """Integrate the adjoint equations of the field that was solved backwards through ``states``.

        Args:
            record: Of the forward solve.
            checkpoints: Of the forward solve.
            states: Its solution, ``(times, *state)``.
            grad_states: The gradient in it.
            times: The solver times of the start and of the event, for a solve that ended at one; the event's
                is a constant of differentiation. None where the outputs lie at ``Problem.t``.
            norm: Measures errors of the augmented state, in which y and a are flat; None takes the gradient
                mode's own.

        Raises:
            RuntimeError: The field is no longer the one that was solved.
        """

    def differentiable(
        self, t: torch.Tensor, y0: torch.Tensor, parameters: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The same solve in plain torch, differentiable to any order: states, and times as in Forward."""


class Engine(Protocol):
    """Something that runs solves."""

    @property
    def name(self) -> str:
        """What ``use_engine`` calls it."""

    def plan(self, problem: Problem, gradient: Gradient) -> Plan | Declined:
        """A plan for this problem and what may be differentiated of it, or why there is none."""
