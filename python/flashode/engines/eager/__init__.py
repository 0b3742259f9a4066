"""Any Python field, in plain torch: the fallback, and the oracle of the other engines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from flashode.engines.eager.adaptive import solve_adaptive
from flashode.engines.eager.adjoint import solve_adjoint
from flashode.engines.eager.fixed import solve_fixed
from flashode.engines.plan import Forward, Gradients
from flashode.problem import Adjoint, Problem
from flashode.statistics import Statistics


def integrate(problem: Problem) -> tuple[torch.Tensor, Statistics]:
    """Solve, recording for autograd if grad mode is on: states ``(times, *state)``, and the counts."""
    if problem.tableau.adaptive:
        return solve_adaptive(problem)
    return solve_fixed(problem)


def differentiable(problem: Problem, t: torch.Tensor, y0: torch.Tensor) -> torch.Tensor:
    """The problem solved from other tensors of the same values, recording for autograd if grad mode is on."""
    return integrate(replace(problem, t=t, y0=y0))[0]


@dataclass
class EagerPlan:
    """One solve in plain torch."""

    problem: Problem
    adjoint: Adjoint | None
    engine: str = "eager"

    @property
    def parameters(self) -> tuple[torch.Tensor, ...]:
        """The adjoint's parameters; without an adjoint autograd finds them itself."""
        return () if self.adjoint is None else self.adjoint.parameters

    def forward(self, *, record: bool) -> Forward:
        """Solve; a record is the autograd graph itself."""
        with torch.set_grad_enabled(record):
            states, statistics = integrate(self.problem)
        return Forward(states.detach(), statistics, states if record else None)

    def discrete_vjp(self, record: object, grad_states: torch.Tensor) -> Gradients:
        """Reverse the recorded graph."""
        if not isinstance(record, torch.Tensor):
            raise TypeError("discrete_vjp needs the record of forward(record=True)")
        inputs = (self.problem.y0, self.problem.t, *self.parameters)
        needed = [x for x in inputs if x.requires_grad]
        found = iter(torch.autograd.grad(record, needed, grad_states, retain_graph=True, allow_unused=True))
        y0, t, *parameters = [next(found) if x.requires_grad else None for x in inputs]
        return Gradients(torch.zeros_like(self.problem.y0) if y0 is None else y0, t, tuple(parameters))

    def continuous_vjp(self, states: torch.Tensor, grad_states: torch.Tensor) -> Gradients:
        """Integrate the adjoint equations backwards, one solve for each output interval."""
        if self.adjoint is None:
            raise TypeError("continuous_vjp needs a plan made with an adjoint")
        return solve_adjoint(self.problem, self.adjoint, states, grad_states, integrate)

    def differentiable(
        self, t: torch.Tensor, y0: torch.Tensor, parameters: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """Solve under autograd; the field holds its own parameters."""
        return differentiable(self.problem, t, y0)


class EagerEngine:
    """The engine that takes every problem."""

    name = "eager"

    def plan(self, problem: Problem, adjoint: Adjoint | None) -> EagerPlan:
        """A plan; never declined."""
        return EagerPlan(problem, adjoint)


def engine() -> EagerEngine:
    """The eager engine."""
    return EagerEngine()
