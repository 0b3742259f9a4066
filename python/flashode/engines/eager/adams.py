"""Adams steps: the new state from the slopes at the steps before."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import torch

from flashode.dispatch import cached
from flashode.engines.convergence import warn_unconverged
from flashode.engines.eager.step import Clock, RungeKuttaStepper, just_before
from flashode.methods import TABLEAUX, Adams
from flashode.methods.adams import LEAST_SLOPES, bashforth, moulton
from flashode.problem import AdamsOptions, Problem
from flashode.statistics import Statistics


@dataclass(frozen=True)
class _Formulas:
    """Weights of a number of known slopes, and of the new slope in the implicit formula."""

    explicit: torch.Tensor  # (1, slopes)
    new: float
    both: torch.Tensor  # (2, slopes): of the explicit and of the implicit formula


@cached
def _formulas(slopes: int, dtype: torch.dtype, device: torch.device) -> _Formulas:
    """The formulas for states of this dtype, in double precision at least.

    Of eleven slopes the weights reach 133 and cancel to one: their own rounding to single precision would be
    felt like a field that is wrong in the fifth digit.
    """
    new, *known = map(float, moulton(slopes + 1))
    rows = [[float(weight) for weight in bashforth(slopes)], known]
    wide = torch.promote_types(dtype, torch.float64)
    both = torch.tensor(rows, dtype=wide, device=device)
    return _Formulas(both[:1], new, both)


class AdamsStepper(RungeKuttaStepper):
    """Takes the steps of an Adams method, of which the first are Runge-Kutta steps.

    ``quiet``, without a warning of unsolved equations.
    """

    def __init__(self, problem: Problem, statistics: Statistics, quiet: bool = False) -> None:
        assert isinstance(problem.method, Adams)
        assert isinstance(problem.options, AdamsOptions)
        super().__init__(problem, statistics, TABLEAUX["rk4"])
        self._corrects = problem.method.corrects
        self._options = problem.options
        self._slopes: deque[torch.Tensor] = deque(maxlen=problem.options.max_order - 1)
        self._remainder: torch.Tensor | None = None
        self._warned = quiet

    def step(
        self, clock: Clock, y0: torch.Tensor, f0: torch.Tensor | None = None
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The slopes that were evaluated and the solution."""
        if f0 is None:
            f0 = self.first_slope(clock, y0)
        self._slopes.appendleft(f0)
        if len(self._slopes) < LEAST_SLOPES:
            return super().step(clock, y0, f0)
        formulas = _formulas(len(self._slopes), y0.dtype, y0.device)
        if not self._corrects:
            (dy,) = self._increments(clock, y0, formulas.explicit)
            return [f0], self._add(y0, dy)
        f1, dy = self._solve(clock, y0, formulas)
        return [f0, f1], self._add(y0, dy)

    def _add(self, y0: torch.Tensor, dy: torch.Tensor) -> torch.Tensor:
        """The solution, rounded to the state's dtype; what that takes off is added in the next step.

        Without it the rounding of the solution, as large as that of the slopes, is amplified with theirs.
        """
        wide = y0 + dy if self._remainder is None else y0 + (dy + self._remainder)
        y1 = wide.to(y0.dtype)
        if wide.dtype != y1.dtype:
            self._remainder = (wide - y1).detach()
        return y1

    def _increments(self, clock: Clock, y0: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The step's size times the known slopes summed, for each row of weights and in their precision."""
        dt: float | torch.Tensor = clock.dt
        if clock.stretch is not None:
            dt = clock.moving_dt.to(weights.dtype)
        known = torch.stack(tuple(self._slopes)).view(len(self._slopes), y0.numel()).to(weights.dtype)
        return (weights * dt @ known).view(len(weights), *y0.shape).unbind()

    def _solve(
        self, clock: Clock, y0: torch.Tensor, formulas: _Formulas
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The last slope at the end of the step, and the step's increment, by functional iteration."""
        options, problem = self._options, self.problem
        dy, delta = self._increments(clock, y0, formulas.both)
        end = just_before(clock.t1, problem.real_dtype) if options.perturb else clock.t1
        t1 = self.time(end, clock.end)
        gain: float | torch.Tensor = formulas.new * clock.dt
        if clock.stretch is not None:
            gain = formulas.new * clock.moving_dt.to(problem.real_dtype)
        for _ in range(options.max_iters):
            before = dy
            f1 = self.rate(t1.clone(), (y0 + dy).to(y0.dtype))
            if isinstance(gain, torch.Tensor):
                dy = delta + gain * f1
            else:
                dy = torch.add(delta, f1, alpha=gain)
            if self._converged(before, dy):
                break
        else:
            self._slopes.pop()
            # Of values that are not finite the solve says more.
            if not self._warned and bool(torch.isfinite(dy.detach()).all()):
                self._warned = True
                warn_unconverged(problem, clock.t0, y0)
        return f1, dy

    @torch.no_grad()
    def _converged(self, before: torch.Tensor, dy: torch.Tensor) -> bool:
        """Whether each element of the increment moved by less than its tolerance."""
        problem = self.problem
        allowed = torch.maximum(before.abs(), dy.abs()).mul_(problem.rtol).add_(problem.atol)
        return bool((dy - before).abs().lt(allowed).all())
