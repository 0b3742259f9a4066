"""Any Python field, in plain torch: the fallback, and the oracle of the other engines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from flashode.declined import Declined
from flashode.engines.eager.adaptive import solve_adaptive
from flashode.engines.eager.adjoint import solve_adjoint
from flashode.engines.eager.fixed import solve_fixed
from flashode.engines.eager.scipy_solver import solve_scipy
from flashode.engines.protocol import Forward, Gradients
from flashode.engines.unchanged import Unchanged
from flashode.methods import SciPy
from flashode.problem import Adjoint, Problem
from flashode.statistics import Statistics


def integrate(problem: Problem) -> Forward:
    """Solve, recording for autograd if grad mode is on."""
    # The function may hold the tensor that the solve starts from, and write on it.
    problem = problem.again(problem.func, problem.y0.clone(), problem.t, problem.times)
    if isinstance(problem.method, SciPy):
        return solve_scipy(problem)
    if problem.method.adaptive:
        return solve_adaptive(problem)
    return solve_fixed(problem)


def differentiable(
    problem: Problem, t: torch.Tensor, y0: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The problem solved from other tensors of the same values, recording for autograd if grad mode is on.

    Returns:
        The states, and the times where the solve finds them.
    """
    solved = integrate(replace(problem, t=t, y0=y0))
    return solved.states, solved.times


@dataclass
class EagerPlan:
    """One solve in plain torch."""

    problem: Problem
    adjoint: Adjoint | None
    engine: str = "eager"
    reversible: bool = False
    statistics: Statistics | None = None
    event_called: Declined | None = None

    @property
    def parameters(self) -> tuple[torch.Tensor, ...]:
        """The adjoint's parameters; without an adjoint autograd finds them itself."""
        return () if self.adjoint is None else self.adjoint.parameters

    def forward(self, *, record: bool) -> Forward:
        """Solve; the record of a plan with an adjoint is what its function depends on.

        Without an adjoint there is none, since autograd reverses ``differentiable``.
        """
        unchanged = None
        if record and self.adjoint is not None:
            instead = ", or use odeint, which keeps what it needs"
            unchanged = Unchanged("odeint_adjoint", instead, func=self.problem.func)
        with torch.no_grad():
            solved = integrate(self.problem)
        if unchanged is not None:
            unchanged.settle()
            solved.record = unchanged
            assert self.adjoint is not None
            # For autograd to watch: the function reads them once more.
            solved.checkpoints = self.adjoint.parameters
        self.statistics = solved.statistics
        return solved

    def discrete_vjp(
        self, record: object, checkpoints: tuple[torch.Tensor | None, ...], grad_states: torch.Tensor
    ) -> Gradients:
        """Not there: this plan is not reversible."""
        raise TypeError("the eager engine's solves are reversed by autograd")

    def continuous_vjp(
        self,
        record: object,
        checkpoints: tuple[torch.Tensor | None, ...],
        states: torch.Tensor,
        grad_states: torch.Tensor,
        times: torch.Tensor | None = None,
    ) -> Gradients:
        """Integrate the adjoint equations backwards, one solve for each output interval.

        Raises:
            RuntimeError: The function is not the one that was solved any more.
        """
        if self.adjoint is None:
            raise TypeError("continuous_vjp needs a plan made with an adjoint")
        if isinstance(record, Unchanged):
            record.require()
        return solve_adjoint(self.problem, self.adjoint, states, grad_states, integrate, times)

    def differentiable(
        self, t: torch.Tensor, y0: torch.Tensor, parameters: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Solve under autograd; the field holds its own parameters."""
        solved = integrate(replace(self.problem, t=t, y0=y0))
        self.statistics = solved.statistics
        return solved.states, solved.times


class EagerEngine:
    """The engine that takes every problem."""

    name = "eager"

    def plan(self, problem: Problem, adjoint: Adjoint | None) -> EagerPlan:
        """A plan; never declined."""
        return EagerPlan(problem, adjoint)


def engine() -> EagerEngine:
    """The eager engine."""
    return EagerEngine()
