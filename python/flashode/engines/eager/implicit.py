"""Implicit Runge-Kutta steps: stages that solve equations, by Newton's method."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial

import torch

from flashode.engines import failure
from flashode.engines.convergence import warn_unconverged
from flashode.engines.derivatives import hides_derivative
from flashode.engines.eager.step import Clock, RungeKuttaStepper, combine
from flashode.engines.jacobian import Jacobians, is_transformed, like, real, transformed_jacobian
from flashode.methods import Tableau
from flashode.problem import ImplicitOptions, Problem, as_floats
from flashode.statistics import Statistics


@lru_cache(maxsize=64)
def groups(tableau: Tableau) -> tuple[range, ...]:
    """The stages whose equations are solved together, in order: one by one where none needs a later one."""
    stages = tableau.stages
    if tableau.equations == "full":
        return (range(stages),)
    return tuple(range(i, i + 1) for i in range(stages))


_Factors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # LU, pivots, and what went wrong


@dataclass(frozen=True)
class _Step:
    """The data of a step's equations."""

    clock: Clock
    times: tuple[torch.Tensor, ...]
    y0: torch.Tensor


class ImplicitStepper(RungeKuttaStepper):
    """Takes the steps of an implicit Runge-Kutta method.

    The slopes are tied to the graph by two Newton corrections with the exact Jacobian at the solution, which
    makes their first and second derivatives exact. ``quiet``, without a warning of unsolved equations.
    """

    def __init__(self, problem: Problem, statistics: Statistics, quiet: bool = False) -> None:
        super().__init__(problem, statistics, problem.tableau)
        options = problem.options
        self._most = self.tableau.newton.max_iterations
        if isinstance(options, ImplicitOptions):
            self._most = options.max_iters
        a = self.tableau.floats().a
        self._a = torch.tensor(a, dtype=problem.real_dtype, device=problem.y0.device)
        self._jacobians = Jacobians()
        self._warned = quiet
        self._eps = torch.finfo(problem.real_dtype).eps
        self._policy = self.tableau.newton
        # With a new Jacobian a correction this small is followed by its square.
        self._quadratic = math.sqrt(self._eps)

    def step(
        self, clock: Clock, y0: torch.Tensor, f0: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The slope at the start and those of the stages, and the solution."""
        tableau = self.tableau
        step = _Step(clock, self._stage_times(clock), y0)
        if f0 is None:
            f0 = self.first_slope(clock, y0)
        k = [f0] * tableau.stages
        for group in groups(tableau):
            # A stage at the start of the step has its slope already.
            if any(tableau.a[group.start]):
                k[group.start : group.stop] = self._solve(step, group, k)
        return [f0, *k], combine(y0, k, self._weights.b, clock)

    def _inputs(self, step: _Step, group: range, k: list[torch.Tensor]) -> list[torch.Tensor]:
        """The states at the stages of a group."""
        return [combine(step.y0, k, self._weights.a[i], step.clock) for i in group]

    def _solve(self, step: _Step, group: range, k: list[torch.Tensor]) -> list[torch.Tensor]:
        """The slopes of a group, from the others and first values for them."""
        k = [x.detach() if i in group else x for i, x in enumerate(k)]
        before, renew = math.inf, True
        for _ in range(self._most):
            inputs = self._inputs(step, group, k)
            exact, old = renew, k
            if renew:
                slopes, factors = self._linearised(step, group, inputs)
                if not _is_regular(factors):
                    k = self._stuck(step, group, k, slopes)
                    break
            else:
                slopes = self._rates(step, group, inputs)
            k, moved, size = self._corrected(step, group, k, slopes, inputs, factors)
            stagnant = exact and before <= self._quadratic * size and moved > self._policy.stagnation * before
            if not math.isfinite(moved):
                if hides_derivative(self.problem, step.clock.t0, step.y0):
                    raise failure.hidden_derivative(
                        self.problem, step.clock.t0, self.statistics, self.problem.y0[None]
                    )
                break
            if moved <= self._policy.roundings * self._eps * size or stagnant:
                break
            renew, before = moved > self._policy.contraction * before, moved
        else:
            self._warn(step)
        solved = k[group.start : group.stop]
        if is_transformed():
            return self._attached(step, group, old, inputs, slopes) or solved
        if not torch.is_grad_enabled():
            return solved
        # Slopes that a Jacobian was read off may depend on the inputs for that reason only.
        known = slopes if not exact or inputs[0].requires_grad else None
        return self._attached(step, group, old, inputs, known) or solved

    def _stuck(
        self, step: _Step, group: range, k: list[torch.Tensor], slopes: list[torch.Tensor]
    ) -> list[torch.Tensor]:
        """The slopes to go on with where the equations' derivative cannot be divided by."""
        if all(bool(torch.isfinite(f).all()) for f in slopes):
            self._warn(step)
            return k
        # The solve stops at values that are not finite.
        return [*k[: group.start], *(f.detach() for f in slopes), *k[group.stop :]]

    def _warn(self, step: _Step) -> None:
        # Where an error estimate chooses the steps, it judges these too.
        if not self._warned and self.tableau.control == "fixed":
            self._warned = True
            warn_unconverged(self.problem, step.clock.t0, step.y0)

    def _again(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The field at copies of a time and a state that are used again."""
        return self.rate(t.clone(), y.clone())

    def _rates(self, step: _Step, group: range, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        return [self._again(step.times[i], y) for i, y in zip(group, inputs, strict=True)]

    def _linearised(
        self, step: _Step, group: range, inputs: list[torch.Tensor]
    ) -> tuple[list[torch.Tensor], _Factors]:
        """The slopes at the inputs and the factors of the equations' derivative there."""
        slopes, jacobians = [], []
        linearise = self.problem.linearise
        for i, y in zip(group, inputs, strict=True):
            if linearise is not None:
                self.statistics.evaluations += 1
                f, jacobian = linearise(step.times[i], y)
            elif is_transformed():
                f, jacobian = transformed_jacobian(partial(self._again, step.times[i]), y)
            else:
                with torch.inference_mode(False), torch.enable_grad():
                    t = step.times[i]
                    if t.is_inference():
                        t, y = t.clone(), y.clone()
                    if not y.requires_grad:
                        y = y.detach().requires_grad_()
                    f = self._again(t, y)
                    jacobian = self._jacobians.of(f, y)
            slopes.append(f)
            jacobians.append(jacobian)
        return slopes, self._factors(step, group, jacobians)

    @torch.no_grad()
    def _factors(self, step: _Step, group: range, jacobians: list[torch.Tensor]) -> _Factors:
        """LU factors of the derivative of ``k[i] - f(y0 + dt sum_j a[i][j] k[j])`` in the slopes."""
        part = slice(group.start, group.stop)
        jacobian = torch.stack(jacobians)  # (group, n, n)
        count, n, _ = jacobian.shape
        matrix = torch.einsum("ij,ipq->ipjq", self._a[part, part] * -step.clock.dt, jacobian)
        matrix = matrix.reshape(count * n, count * n)
        matrix.diagonal().add_(1)
        # LAPACK has no half precision.
        wide = matrix.float() if matrix.element_size() < 4 else matrix
        factors, pivots, info = torch.linalg.lu_factor_ex(wide)
        return factors, pivots, info

    @torch.no_grad()
    def _corrected(
        self,
        step: _Step,
        group: range,
        k: list[torch.Tensor],
        slopes: list[torch.Tensor],
        inputs: list[torch.Tensor],
        factors: _Factors,
    ) -> tuple[list[torch.Tensor], float, float]:
        """The slopes after one iteration, the largest change of a stage's state, and the largest state."""
        part = slice(group.start, group.stop)
        known = torch.stack([real(x) for x in k[part]])
        rates = torch.stack([real(x) for x in slopes])
        coupled = self.problem.coupled
        residual = known - rates
        if coupled is not None:
            residual = residual[:, coupled]
        change = _divided(factors, residual.reshape(-1)).view(residual.shape)
        if coupled is None:
            corrected = known - change
        else:
            # The other rates follow from these.
            corrected = rates
            corrected[:, coupled] = known[:, coupled] - change
        moved = (self._a[part, part] * step.clock.dt) @ change
        states = torch.stack([real(y) for y in (step.y0, *inputs)])
        if coupled is not None:
            states = states[:, coupled]
        sizes = as_floats(torch.stack([_largest(moved), _largest(states)]))
        new = [*k]
        new[part] = [like(x, step.y0) for x in corrected]
        return new, sizes[0], sizes[1]

    def _attached(
        self,
        step: _Step,
        group: range,
        k: list[torch.Tensor],
        inputs: list[torch.Tensor],
        slopes: list[torch.Tensor] | None,
    ) -> list[torch.Tensor] | None:
        """The solved slopes of a group, tied to the graph; None if they depend on nothing in it.

        Args:
            step: The step.
            group: The stages.
            k: Slopes that solve the equations to rounding, those of the group outside of the graph.
            inputs: The states that they give.
            slopes: The rates there, if they are known and depend on nothing but the arguments.
        """
        if slopes is None:
            slopes = self._rates(step, group, inputs)
        transformed = is_transformed()
        if not transformed and not any(f.requires_grad for f in slopes):
            return None
        if inputs[0].requires_grad and not transformed:
            jacobians = [self._jacobians.of(f, y) for f, y in zip(slopes, inputs, strict=True)]
            factors = self._factors(step, group, jacobians)
        else:
            _, factors = self._linearised(step, group, inputs)
        part = slice(group.start, group.stop)
        for correction in range(2):
            if correction:
                slopes = self._rates(step, group, self._inputs(step, group, k))
            known = torch.stack([real(x) for x in k[part]])
            residual = known - torch.stack([real(f) for f in slopes])
            corrected = known - _divided(factors, residual.reshape(-1)).view(residual.shape)
            k[part] = [like(x, step.y0) for x in corrected.unbind()]
        return k[part]


def runge_kutta_stepper(problem: Problem, statistics: Statistics, quiet: bool = False) -> RungeKuttaStepper:
    """The stepper of a Runge-Kutta method; ``quiet``, without a warning of unsolved equations."""
    if problem.tableau.equations == "none":
        return RungeKuttaStepper(problem, statistics, problem.tableau)
    return ImplicitStepper(problem, statistics, quiet)


def _is_regular(factors: _Factors) -> bool:
    return bool(factors[2] == 0) and bool(torch.isfinite(factors[0]).all())


def _divided(factors: _Factors, numbers: torch.Tensor) -> torch.Tensor:
    """The solution of the linear equations with these factors and right-hand side."""
    solution: torch.Tensor = torch.linalg.lu_solve(*factors[:2], numbers.to(factors[0].dtype)[:, None])
    return solution[:, 0].to(numbers.dtype)


def _largest(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.abs().amax() if numbers.numel() else numbers.new_zeros(())
