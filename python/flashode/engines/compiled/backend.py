"""What a compiled engine defines itself; all else is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flashode.declined import Declined
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import (
    ContinuousRequest,
    DiscreteRequest,
    ForwardRequest,
    Request,
)
from flashode.engines.compiled.scope import Demand
from flashode.engines.protocol import PlannedKernel
from flashode.methods import Method
from flashode.problem import Continuous, Gradient, Settings
from flashode.program import Program


@dataclass(frozen=True, eq=False)
class Work:
    """What a backend is asked to evaluate, without the numbers.

    Attributes:
        program: The captured field.
        cost: Arithmetic operations of one evaluation of one trajectory.
        batch: Trajectories.
        settings: Of the solve.
        gradient: How it may be differentiated.
        of_event: Whether the program is an event function, which is evaluated and not integrated.
    """

    program: Program
    cost: int
    batch: int
    settings: Settings
    gradient: Gradient
    of_event: bool = False

    @property
    def methods(self) -> tuple[Method, ...]:
        """Of the solve, and of its adjoint equations if there are any."""
        method = self.settings.integrator.method
        return (
            (method, self.gradient.integration.method) if isinstance(self.gradient, Continuous) else (method,)
        )

    @property
    def rows(self) -> int:
        """Numbers in the state of one trajectory."""
        return sum(shape.numel() for shape in self.settings.structure.shapes) // self.batch


class Backend(Protocol):
    """The kernels of one engine."""

    @property
    def name(self) -> str:
        """What ``use_engine`` calls the engine."""

    @property
    def device(self) -> str:
        """The type of the device that states have to be on, such as ``"cpu"``."""

    @property
    def calls_functions(self) -> bool:
        """Whether functions of the user's, a norm or what tells an event, can be called within a solve."""

    def accepts(self, work: Work) -> Declined | None:
        """Why it cannot do this, in its limits; None if it can."""

    def pays(self, work: Work, demand: Demand) -> Declined | None:
        """Why plain torch is faster; None if it is not."""

    def kernels(self, requests: Sequence[Request]) -> tuple[PlannedKernel, ...]:
        """What is compiled for these requests, if anything is; of their tensors only the kinds count."""

    def forward(self, request: ForwardRequest) -> ForwardResult:
        """Solve, and write the states at the output times."""

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        """Write the gradients of a recorded solve, by its exact reverse."""

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        """Integrate the adjoint equations backwards, and write the gradients."""
