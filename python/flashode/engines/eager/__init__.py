"""Any Python field, in plain torch: the fallback, and the oracle of the other engines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from flashode.declined import Declined
from flashode.engines.eager.adaptive import solve_adaptive
from flashode.engines.eager.adjoint import solve_adjoint
from flashode.engines.eager.fixed import solve_fixed
from flashode.engines.eager.scipy_solver import solve_scipy
from flashode.engines.protocol import Forward, Gradients, PlannedKernel
from flashode.engines.unchanged import Unchanged
from flashode.methods import SciPy
from flashode.problem import Continuous, Gradient, Problem
from flashode.problem.adjoint_norm import AugmentedNorm
from flashode.statistics import Statistics


def integrate(problem: Problem) -> Forward:
    """Solve, recording for autograd if grad mode is on."""
    if problem.event is not None:
        _ = problem.event.signs
    # The function may hold the tensor that the solve starts from, and write on it.
    problem = replace(problem, y0=problem.y0.clone())
    if isinstance(problem.method, SciPy):
        return solve_scipy(problem)
    if problem.method.control == "error":
        return solve_adaptive(problem)
    return solve_fixed(problem)


@dataclass
class EagerPlan:
    """One solve in plain torch."""

    problem: Problem
    gradient: Gradient
    engine: str = "eager"
    reversible: bool = False
    statistics: Statistics | None = None
    event_called: Declined | None = None

    @property
    def parameters(self) -> tuple[torch.Tensor, ...]:
        """The adjoint's parameters; those of a discrete solve autograd finds itself."""
        return self.gradient.parameters if isinstance(self.gradient, Continuous) else ()

    def kernels(self, *, reverse: bool) -> tuple[PlannedKernel, ...]:
        """None: torch's own are compiled."""
        return ()

    def forward(self, *, record: bool) -> Forward:
        """Solve; for the continuous adjoint the record is what the function depends on.

        Of a discrete solve there is none, since autograd reverses ``differentiable``.
        """
        unchanged = None
        if record and isinstance(self.gradient, Continuous):
            instead = ", or use odeint, which keeps what it needs"
            unchanged = Unchanged("odeint_adjoint", instead, func=self.problem.func)
        with torch.no_grad():
            solved = integrate(self.problem)
        if unchanged is not None:
            unchanged.settle()
            solved.record = unchanged
            # For autograd to watch: the function reads them once more.
            solved.checkpoints = self.parameters
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
        norm: AugmentedNorm | None = None,
    ) -> Gradients:
        """Integrate the adjoint equations backwards, one solve for each output interval.

        Raises:
            RuntimeError: The function is not the one that was solved any more.
        """
        problem, gradient = self.problem, self.gradient
        if not isinstance(gradient, Continuous):
            raise TypeError("continuous_vjp needs a plan made for the continuous adjoint")
        if norm is not None:
            # It takes y and a as the solver has them: of a flat problem none of them is unpacked.
            problem, gradient = problem.flat(), replace(gradient, norm=norm)
        elif isinstance(record, Unchanged):
            record.require()
        return solve_adjoint(problem, gradient, states, grad_states, integrate, times)

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

    def plan(self, problem: Problem, gradient: Gradient) -> EagerPlan:
        """A plan; never declined."""
        return EagerPlan(problem, gradient)
