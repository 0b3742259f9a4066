"""The continuous adjoint: the augmented equations integrated backwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from flashode.engines.plan import Gradients
from flashode.errors import SolverError
from flashode.problem import AdaptiveOptions, Adjoint, Problem
from flashode.problem.definition import Callback, Callbacks, rms
from flashode.statistics import Statistics

Integrate = Callable[[Problem], tuple[torch.Tensor, Statistics]]


@torch.no_grad()
def solve_adjoint(
    problem: Problem, adjoint: Adjoint, states: torch.Tensor, grad_states: torch.Tensor, integrate: Integrate
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

    Returns:
        Gradients in y0, in the problem's ``t`` if that requires grad, and in the adjoint's parameters (zeros
        for those that the field does not use).
    """
    wants_t = problem.t.requires_grad
    reverse = _Reverse(problem, adjoint)
    last = len(states) - 1
    a = grad_states[last]
    vjp_t = states.new_zeros(())
    vjp_parameters = [torch.zeros_like(p) for p in adjoint.parameters]
    grad_t = [vjp_t] * len(states)
    for i in range(last, 0, -1):
        if wants_t:
            f = problem.field(problem.t[i].detach(), states[i])
            grad_t[i] = torch.vdot(grad_states[i].reshape(-1), f.reshape(-1))
            vjp_t = vjp_t - grad_t[i]
        vjp_t, a, vjp_parameters = reverse.interval(i, states[i], vjp_t, a, vjp_parameters, integrate)
        a = a + grad_states[i - 1]
    grad_t[0] = vjp_t
    return Gradients(
        y0=a,
        t=_like(torch.stack(grad_t), problem.t) if wants_t else None,
        parameters=tuple(_like(g, p) for g, p in zip(vjp_parameters, adjoint.parameters, strict=True)),
    )


def _in_user_time(callbacks: Callbacks) -> Callbacks:
    """Callbacks of a reverse solve whose forward solver time is the user's time negated."""

    def negated(callback: Callback | None) -> Callback | None:
        return None if callback is None else lambda t, state, dt: callback(-t, state, dt)

    return Callbacks(negated(callbacks.step), negated(callbacks.accept), negated(callbacks.reject))


def _like(gradient: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """In the dtype of what it is the gradient of: real for a real tensor of a complex problem."""
    if gradient.is_complex() and not x.is_complex():
        gradient = gradient.real
    return gradient.to(x.dtype)


class _Reverse:
    """The augmented problem ``(vjp_t, y, a, *vjp_parameters)``."""

    def __init__(self, problem: Problem, adjoint: Adjoint) -> None:
        self.problem = problem
        self.adjoint = adjoint
        shape = problem.y0.shape
        self.shapes = (torch.Size(()), shape, shape, *(p.shape for p in adjoint.parameters))
        self.options = adjoint.options
        if isinstance(self.options, AdaptiveOptions):
            self.options = replace(self.options, norm=adjoint_norm(problem, adjoint))
        self.callbacks = adjoint.callbacks if problem.direction > 0 else _in_user_time(adjoint.callbacks)

    def interval(
        self,
        i: int,
        y: torch.Tensor,
        vjp_t: torch.Tensor,
        a: torch.Tensor,
        vjp_parameters: list[torch.Tensor],
        integrate: Integrate,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """Integrate from output time i back to the one before."""
        problem = self.problem
        augmented = Problem(
            func=self.field,
            y0=torch.cat([part.reshape(-1) for part in (vjp_t, y, a, *vjp_parameters)]),
            shapes=self.shapes,
            t=-problem.t.detach()[i - 1 : i + 1].flip(0),
            times=(-problem.times[i], -problem.times[i - 1]),
            direction=-1.0,
            method=self.adjoint.method,
            rtol=self.adjoint.rtol,
            atol=self.adjoint.atol,
            options=self.options,
            callbacks=self.callbacks,
        )
        try:
            states, _ = integrate(augmented)
        except SolverError as error:
            # The augmented problem's own time is the forward solver's.
            error.t = None if error.t is None else problem.direction * error.t
            raise
        vjp_t, _, a, *vjp_parameters = augmented.unflatten(states[-1])
        return vjp_t, a, vjp_parameters

    def field(self, t: torch.Tensor, state: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """The augmented dynamics in the forward solver's time."""
        _, y, a, *_ = state
        parameters = self.adjoint.parameters
        with torch.enable_grad():
            y = y.detach().to(self.problem.y0.dtype).requires_grad_()
            # Also where nobody asks for the gradient in t: torchdiffeq's step control sees it all the same.
            t = t.detach().requires_grad_()
            f = self.problem.field(t, y)
        inputs = (t, y, *parameters)
        found: list[torch.Tensor | None] = [None] * len(inputs)
        if f.requires_grad:
            # Parameters may share a graph that was made before the solve: it must outlive this evaluation.
            found = list(torch.autograd.grad(f, inputs, -a.to(f.dtype), allow_unused=True, retain_graph=True))
        vjp_t, vjp_y, *vjp_parameters = (
            torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)
        )
        return (vjp_t, f.detach(), vjp_y, *vjp_parameters)


def adjoint_norm(problem: Problem, adjoint: Adjoint) -> Callable[[tuple[torch.Tensor, ...]], torch.Tensor]:
    """The augmented state's norm, of ``(vjp_t, y, a, *vjp_parameters)`` with y and a as the problem's."""
    custom = adjoint.norm
    if callable(custom):

        def unpacked(state: tuple[torch.Tensor, ...]) -> Any:
            vjp_t, y, a, *parameters = state
            if problem.shapes is None:
                return custom((vjp_t, y, a, *parameters))
            return custom((vjp_t, *problem.unflatten(y), *problem.unflatten(a), *parameters))

        return unpacked

    def joint(state: tuple[torch.Tensor, ...]) -> torch.Tensor:
        vjp_t, y, a, *parameters = state
        norms = [vjp_t.abs(), problem.norm(y), problem.norm(a)]
        if custom == "joint":
            norms += [rms(p) for p in parameters]
        return torch.stack(norms).amax()

    return joint
