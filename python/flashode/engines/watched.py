"""A plan that says what it did."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flashode.errors import SolverError

if TYPE_CHECKING:
    from torch import Tensor

    from flashode.declined import Declined
    from flashode.engines.protocol import Forward, Gradients, Plan
    from flashode.problem.adjoint_norm import AugmentedNorm
    from flashode.statistics import Statistics

# Told the seconds that something took, and what it cost where that is known.
Listener = Callable[[float, "Statistics | None"], None]
Found = TypeVar("Found")


class WatchedPlan:
    """Another plan, whose solves and reverse passes are reported, failed ones included."""

    def __init__(self, plan: Plan, *, solved: Listener, reversed_: Listener) -> None:
        self._plan = plan
        self._solved = solved
        self._reversed = reversed_

    @property
    def engine(self) -> str:
        """As the plan's."""
        return self._plan.engine

    @property
    def reversible(self) -> bool:
        """As the plan's."""
        return self._plan.reversible

    @property
    def event_called(self) -> Declined | None:
        """As the plan's."""
        return self._plan.event_called

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """As the plan's."""
        return self._plan.parameters

    @property
    def statistics(self) -> Statistics | None:
        """As the plan's."""
        return self._plan.statistics

    def forward(self, *, record: bool) -> Forward:
        """As the plan's."""
        return _told(self._solved, lambda: self._plan.forward(record=record), lambda found: found.statistics)

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
        return _told(
            self._reversed if self.reversible else self._solved,
            lambda: self._plan.differentiable(t, y0, parameters),
            lambda _: None if self.reversible else self._plan.statistics,
        )

    def _gradients(self, reverse: Callable[[], Gradients]) -> Gradients:
        return _told(self._reversed, reverse, lambda found: found.statistics)


def _told(
    listener: Listener, work: Callable[[], Found], statistics: Callable[[Found], Statistics | None]
) -> Found:
    """What the work gives or raises, after the listener has heard of it."""
    cost: Statistics | None = None
    began = time.perf_counter()
    try:
        found = work()
        cost = statistics(found)
        return found
    except SolverError as error:
        cost = error.statistics
        raise
    finally:
        listener(time.perf_counter() - began, cost)
