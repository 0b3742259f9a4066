"""A plan whose solves and reverse passes are reported as they are done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flashode.errors import SolverError

if TYPE_CHECKING:
    from torch import Tensor

    from flashode.engines.protocol import Forward, Gradients, Plan, PlannedKernel
    from flashode.problem.adjoint_norm import AugmentedNorm
    from flashode.statistics import Statistics

# Called with the seconds that something took, and its cost where that is known.
Listener = Callable[[float, "Statistics | None"], None]
Result = TypeVar("Result")


class ReportedPlan:
    """Another plan, whose solves and reverse passes listeners hear of, failed ones included."""

    def __init__(self, plan: Plan, *, solved: Listener, reversed_: Listener) -> None:
        self._plan = plan
        self._solved = solved
        self._reversed = reversed_
        self.engine = plan.engine
        self.reversible = plan.reversible
        self.event_called = plan.event_called

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """As the plan's."""
        return self._plan.parameters

    @property
    def statistics(self) -> Statistics | None:
        """As the plan's."""
        return self._plan.statistics

    def kernels(self, *, reverse: bool) -> tuple[PlannedKernel, ...]:
        """As the plan's."""
        return self._plan.kernels(reverse=reverse)

    def forward(self, *, record: bool) -> Forward:
        """As the plan's."""
        return _reported(
            self._solved, lambda: self._plan.forward(record=record), lambda result: result.statistics
        )

    def discrete_vjp(
        self, record: object, checkpoints: tuple[Tensor | None, ...], grad_states: Tensor
    ) -> Gradients:
        """As the plan's."""
        return self._gradients(lambda: self._plan.discrete_vjp(record, checkpoints, grad_states))

    def continuous_vjp(
        self,
        record: object,
        checkpoints: tuple[Tensor | None, ...],
        states: Tensor,
        grad_states: Tensor,
        times: Tensor | None = None,
        norm: AugmentedNorm | None = None,
    ) -> Gradients:
        """As the plan's."""
        return self._gradients(
            lambda: self._plan.continuous_vjp(record, checkpoints, states, grad_states, times, norm)
        )

    def differentiable(
        self, t: Tensor, y0: Tensor, parameters: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor | None]:
        """As the plan's; of a reversible plan it is part of a reverse pass that has gradients in turn."""
        return _reported(
            self._reversed if self.reversible else self._solved,
            lambda: self._plan.differentiable(t, y0, parameters),
            lambda _: None if self.reversible else self._plan.statistics,
        )

    def _gradients(self, reverse: Callable[[], Gradients]) -> Gradients:
        return _reported(self._reversed, reverse, lambda result: result.statistics)


def _reported(
    listener: Listener, work: Callable[[], Result], statistics: Callable[[Result], Statistics | None]
) -> Result:
    """Returns or raises what the work does, after the listener was called with its cost."""
    cost: Statistics | None = None
    began = time.perf_counter()
    try:
        result = work()
        cost = statistics(result)
        return result
    except SolverError as error:
        cost = error.statistics
        raise
    finally:
        listener(time.perf_counter() - began, cost)
