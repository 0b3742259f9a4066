"""The continuous adjoint: the augmented equations integrated backwards."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from flashode.engines.convergence import warn_lost
from flashode.engines.jacobian import Jacobians
from flashode.engines.protocol import Forward, Gradients
from flashode.errors import SolverError
from flashode.problem import (
    AdaptiveOptions,
    Callback,
    Callbacks,
    Continuous,
    OutputTimes,
    Problem,
    Settings,
)
from flashode.problem.adjoint_norm import adjoint_norm, as_gradient_in
from flashode.problem.gradient import gradient_shapes
from flashode.state import Structure
from flashode.statistics import Statistics

Integrate = Callable[[Problem], Forward]


@torch.no_grad()
def solve_adjoint(
    problem: Problem,
    adjoint: Continuous,
    states: torch.Tensor,
    grad_states: torch.Tensor,
    integrate: Integrate,
    times: torch.Tensor | None = None,
) -> Gradients:
    """Gradients of a solve by the adjoint method (Chen et al., Neural Ordinary Differential Equations, 2018).

    One solve for each output interval, last first; at each output time the state is reset to what the forward
    solve gave and its gradient is added to the adjoint state.

    Args:
        problem: What was solved.
        adjoint: How to solve the adjoint equations.
        states: Its solution, shape ``(times, *state)``.
        grad_states: Gradient in it.
        integrate: Solves a problem.
        times: The solver times of the start and of the event, for a solve that ended at one: a constant of
            differentiation, so that ``t`` has a gradient only in the start.

    Returns:
        Gradients in y0, in the problem's ``t`` if that requires grad, and in the adjoint's parameters (zeros
        for those that the field does not use).
    """
    wants_t = problem.t.requires_grad
    reverse = _Reverse(problem, adjoint, times)
    last = len(states) - 1
    a = grad_states[last]
    vjp_t = states.new_zeros(())
    vjp_parameters = [reverse.stored(torch.zeros_like(p)) for p in adjoint.parameters]
    grad_t = [vjp_t] * len(states)
    for i in range(last, 0, -1):
        if wants_t:
            f = problem.field(reverse.t[i].clone(), states[i].clone())
            reverse.statistics.evaluations += 1
            grad_t[i] = torch.vdot(grad_states[i].reshape(-1), f.reshape(-1))
            vjp_t = vjp_t - grad_t[i]
        vjp_t, a, vjp_parameters = reverse.interval(i, states, vjp_t, a, vjp_parameters, integrate)
        a = a + grad_states[i - 1]
    reverse.look_back(states)
    grad_t[0] = vjp_t
    if times is not None:
        grad_t[1] = torch.zeros_like(vjp_t)
    return Gradients(
        y0=a,
        t=_like(torch.stack(grad_t), problem.t) if wants_t else None,
        parameters=tuple(_like(g, p) for g, p in zip(vjp_parameters, adjoint.parameters, strict=True)),
        statistics=reverse.statistics,
    )


def _in_user_time(callbacks: Callbacks) -> Callbacks:
    """Callbacks of a reverse solve whose forward solver time is the user's time negated."""

    def negated(callback: Callback | None) -> Callback | None:
        return None if callback is None else lambda t, state, dt: callback(-t, state, dt)

    return Callbacks(negated(callbacks.step), negated(callbacks.accept), negated(callbacks.reject))


def _like(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """In the dtype of what it is the gradient of: real for a real tensor of a complex problem."""
    gradient = as_gradient_in(gradient, x)
    if gradient.is_complex() and not x.is_complex():
        gradient = gradient.real
    return gradient.to(x.dtype)


class _Reverse:
    """The augmented problem ``(vjp_t, y, a, *vjp_parameters)``."""

    def __init__(self, problem: Problem, adjoint: Continuous, times: torch.Tensor | None) -> None:
        self.problem = problem
        self.t = problem.t.detach()
        self.times = problem.times
        if times is not None:
            # In the dtype that the event's time is handed to the user in, as torchdiffeq has it.
            self.t = times.to(self.t)
            self.times = tuple(self.t.tolist())
        self.misses: list[torch.Tensor] = []  # of the states at the ends of the intervals so far
        self.statistics = Statistics()
        self.jacobians = Jacobians()
        self.adjoint = adjoint
        shape = problem.y0.shape
        shapes = torch.Size(()), shape, shape, *gradient_shapes(problem.y0, adjoint.parameters)
        self.structure = Structure(shapes, True)
        self.integration = adjoint.integration
        if isinstance(adjoint.integration.options, AdaptiveOptions):
            self.integration = replace(adjoint.integration, norm=adjoint_norm(problem, adjoint))
        self.callbacks = adjoint.callbacks if problem.direction > 0 else _in_user_time(adjoint.callbacks)

    def interval(
        self,
        i: int,
        states: torch.Tensor,
        vjp_t: torch.Tensor,
        a: torch.Tensor,
        vjp_parameters: list[torch.Tensor],
        integrate: Integrate,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Integrate from output time i back to the one before."""
        problem = self.problem
        y0 = torch.cat([part.reshape(-1) for part in (vjp_t, states[i], a, *vjp_parameters)])
        augmented = Problem(
            Settings(self.structure, y0.dtype, y0.device, -1.0, self.integration.integrator),
            self.field,
            y0,
            -self.t[i - 1 : i + 1].flip(0),
            OutputTimes(-1.0, (-self.times[i], -self.times[i - 1])),
            self.integration,
            self.callbacks,
            linearise=self.linearised,
            coupled=self._coupled(y0),
            norm_argument="adjoint_options['norm']",
        )
        try:
            solved = integrate(augmented)
        except SolverError as error:
            # The augmented problem's own time is the forward solver's.
            error.t = None if error.t is None else problem.direction * error.t
            raise
        self._count(solved.statistics)
        vjp_t, y, a, *vjp_parameters = augmented.unflatten(solved.states[-1])
        if y.numel() > 0:
            self.misses.append((y - states[i - 1]).abs().amax())
        return vjp_t, a, vjp_parameters

    def look_back(self, states: torch.Tensor) -> None:
        """Warn if the states that were reached are far from those of the forward solve."""
        if self.misses:
            misses = [float(miss) for miss in reversed(self.misses)]
            worst = max(misses)
            size = float(states.abs().max())
            warn_lost(self.problem, self.adjoint, worst, self.times[misses.index(worst)], size)

    def stored(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient in a parameter as the augmented state holds it, which is real where the state is."""
        if gradient.is_complex() and not self.problem.y0.is_complex():
            return torch.view_as_real(gradient.resolve_conj())
        return gradient

    def _coupled(self, state: torch.Tensor) -> slice:
        """The slice of y and a in the real numbers of the augmented state."""
        parts = 2 if state.is_complex() else 1
        return slice(parts, parts * (1 + 2 * self.problem.y0.numel()))

    def _count(self, spent: Statistics) -> None:
        total = self.statistics
        total.evaluations += spent.evaluations
        total.accepted += spent.accepted
        total.rejected += spent.rejected

    def field(self, t: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The augmented dynamics in the forward solver's time."""
        return self._rates(state[2], *self._evaluated(t, state[1]))

    def linearised(self, t: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The augmented dynamics in their own solver's time, and their derivative in y and a.

        Without the derivative of a's rate in y: Newton's method takes one iteration more for that, which is
        cheaper than second derivatives.
        """
        _, y, a, *_ = self.structure.split(x)
        t, y, f = self._evaluated(-t, y)
        rates = self._rates(a, t, y, f)
        jacobian = self.jacobians.of(f, y).to(x.dtype.to_real())
        return -torch.cat([part.reshape(-1) for part in rates]), torch.block_diag(  # type: ignore[no-untyped-call]
            -jacobian, jacobian.T
        )

    def _evaluated(self, t: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Time and state as leaves of a new graph, and the field at them."""
        with torch.enable_grad():
            y = y.detach().to(self.problem.y0.dtype).requires_grad_()
            # Also where no gradient in t is asked for: torchdiffeq's step control sees it all the same.
            t = t.detach().requires_grad_()
            return t, y, self.problem.field(t, y.clone())

    def _rates(
        self, a: torch.Tensor, t: torch.Tensor, y: torch.Tensor, f: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        inputs = (t, y, *self.adjoint.parameters)
        # A parameter may have been frozen since the solve.
        wanted = [x for x in inputs if x.requires_grad]
        vjps: Iterator[torch.Tensor | None] = itertools.repeat(None)
        if f.requires_grad:
            # Parameters may share a graph from before the solve: it must outlive this evaluation.
            vjps = iter(torch.autograd.grad(f, wanted, -a.to(f.dtype), allow_unused=True, retain_graph=True))
        gradients = [next(vjps) if x.requires_grad else None for x in inputs]
        vjp_t, vjp_y, *vjp_parameters = (
            torch.zeros_like(x) if g is None else g for g, x in zip(gradients, inputs, strict=True)
        )
        return (vjp_t, f.detach(), vjp_y, *map(self.stored, vjp_parameters))
