"""What a compiled engine has to bring; all else is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flashode.declined import Declined
from flashode.engines.compiled.outcome import ForwardResult, Outcome
from flashode.engines.compiled.requests import ContinuousRequest, DiscreteRequest, ForwardRequest
from flashode.engines.compiled.scope import Demand
from flashode.methods import Method
from flashode.program import Program


@dataclass(frozen=True, eq=False)
class Work:
    """What there is to evaluate, whatever the numbers are.

    Attributes:
        program: The captured field.
        cost: Arithmetic operations of one evaluation of one trajectory.
        batch: Trajectories.
        rows: Numbers in the state of one trajectory.
        element_size: Bytes of each.
        methods: Of the solve, and of its adjoint equations if there are any.
    """

    program: Program
    cost: int
    batch: int
    rows: int
    element_size: int
    methods: tuple[Method, ...]


class Backend(Protocol):
    """The kernels of one engine."""

    @property
    def name(self) -> str:
        """What ``use_engine`` calls the engine."""

    @property
    def device(self) -> str:
        """The sort of device that states have to be on, as torch names it."""

    def accepts(self, work: Work) -> Declined | None:
        """Why it cannot do this, in its limits; None if it can."""

    def pays(self, work: Work, demand: Demand) -> Declined | None:
        """Why plain torch is faster; None if it is not."""

    def forward(self, request: ForwardRequest) -> ForwardResult:
        """Solve, and write the states at the output times."""

    def discrete_vjp(self, request: DiscreteRequest) -> None:
        """Write the gradients of a recorded solve, by its exact reverse."""

    def continuous_vjp(self, request: ContinuousRequest) -> Outcome:
        """Integrate the adjoint equations backwards, and write the gradients."""
