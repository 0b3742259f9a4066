"""Steps whose size follows the error."""

from __future__ import annotations

import bisect
import math

import torch

from flashode.engines import failure
from flashode.engines.eager.callbacks import notify
from flashode.engines.eager.controller import error_ratio, first_step, next_step
from flashode.engines.eager.dense_output import AcceptedStep, interpolate
from flashode.engines.eager.step import Clock, Stepper, is_differentiated, just_after
from flashode.problem import AdaptiveOptions, Problem
from flashode.problem.normalise import time_dtype
from flashode.statistics import Statistics


def solve_adaptive(problem: Problem) -> tuple[torch.Tensor, Statistics]:
    """Solve: states of shape ``(times, *state)``, and the counts."""
    run = _Run(problem)
    return run.solve(), run.stepper.statistics


class _Run:
    """One adaptive solve and where it stands."""

    def __init__(self, problem: Problem) -> None:
        assert isinstance(problem.options, AdaptiveOptions)
        self.problem = problem
        self.options = problem.options
        self.stepper = Stepper(problem, Statistics())
        self.dtype = time_dtype(problem.options, problem.y0)
        self.times = tuple(map(self._rounded, problem.times))
        self.moved = None
        self.shift: torch.Tensor | None = None
        if is_differentiated(problem.t):
            # Zeros connected to the output times: see Clock.
            self.moved = (problem.t - problem.t.detach()).to(self.dtype)
            self.shift = self.moved[0]
        self.t = self.times[0]
        self.y = problem.y0
        self.outputs = [problem.y0[None]]
        self.step_t = tuple(map(self._rounded, self.options.step_t))
        self.jump_t = tuple(map(self._rounded, self.options.jump_t))
        self.poison: tuple[str, torch.Tensor] | None = None  # origin and value of the latest rejection's NaN

    def solve(self) -> torch.Tensor:
        self.f = self.stepper.evaluate(self.t, self.shift, self.y)
        dt = self.options.first_step
        self.dt = first_step(self.stepper, self.f.detach()) if dt is None else dt
        i = 1
        while i < len(self.times):
            self._reach(i)
            stop = bisect.bisect_right(self.times, self.t, lo=i)
            moved = None if self.moved is None else self.moved[i:stop]
            self.outputs.append(interpolate(self.problem.tableau, self.last_step, self.times[i:stop], moved))
            i = stop
        states = torch.cat(self.outputs)
        self._require_finite(states)
        return states

    def _rounded(self, t: float) -> float:
        return t if self.dtype == torch.float64 else float(torch.tensor(t, dtype=self.dtype, device="cpu"))

    def _reach(self, i: int) -> None:
        """Step until output time i has been passed."""
        steps = 0
        while self.times[i] > self.t:
            if steps >= self.options.max_num_steps:
                raise failure.max_steps(self.problem, self.t, self._statistics, self._reached(), steps)
            self._attempt()
            steps += 1

    def _attempt(self) -> None:
        """Try one step and accept or reject it."""
        options, problem = self.options, self.problem
        dt = self._clamped(self.dt)
        notify(problem, problem.callbacks.step, self.dtype, self.t, self.y, dt)
        if not self._rounded(self.t + dt) > self.t:
            self._give_up(dt)
        clock, jumps = self._clock(dt)
        k, y1 = self.stepper.stages(clock, self.y, self.f, ends_inside=True, starts_inside=False)
        with torch.no_grad():
            ratio = error_ratio(problem, self.stepper.error_estimate(k, clock.dt), self.y, y1)
        self.poison = None if math.isfinite(ratio) else self._poison(k, y1)
        accept = ratio <= 1
        if clock.dt <= options.min_step:
            # A forced step may be inaccurate, but it must not bring NaN into the state.
            if self.poison is not None:
                self._give_up(clock.dt)
            accept = True
        if accept:
            self._accept(clock, k, y1, jumps)
        else:
            self._statistics.rejected += 1
            notify(problem, problem.callbacks.reject, self.dtype, self.t, self.y, clock.dt)
        self.dt = self._clamped(next_step(options, problem.tableau.order, clock.dt, ratio))

    def _accept(self, clock: Clock, k: list[torch.Tensor], y1: torch.Tensor, jumps: bool) -> None:
        self._statistics.accepted += 1
        notify(self.problem, self.problem.callbacks.accept, self.dtype, self.t, self.y, clock.dt)
        self.last_step = AcceptedStep(clock, self.y, y1, k)
        self.t, self.y, self.f = clock.t1, y1, k[-1]
        if clock.stretch is not None:
            # The step ended on a prescribed time, which depends on nothing.
            self.shift = None
        if jumps:
            after = just_after(self.t, self.problem.real_dtype)
            self.f = self.stepper.evaluate(after, self.shift, self.y)

    def _clamped(self, dt: float) -> float:
        return min(max(dt, self.options.min_step), self.options.max_step)

    def _clock(self, dt: float) -> tuple[Clock, bool]:
        """The step, shortened to end on the first prescribed time in it, and whether that is a jump.

        Prescribed times are found by where the solve stands, not by a count of those stepped on: a step that
        happens to end on one must not hide the later ones.
        """
        t1 = self._rounded(self.t + dt)
        stop = min((self._next(times) for times in (self.step_t, self.jump_t)), default=math.inf)
        jumps = self._next(self.jump_t) == stop and stop <= t1
        if stop < t1:
            stretch = None if self.shift is None else -self.shift
            return Clock(self.t, self._rounded(stop - self.t), stop, self.shift, stretch), jumps
        return Clock(self.t, dt, t1, self.shift), jumps

    def _next(self, times: tuple[float, ...]) -> float:
        index = bisect.bisect_right(times, self.t)
        return times[index] if index < len(times) else math.inf

    @property
    def _statistics(self) -> Statistics:
        return self.stepper.statistics

    def _reached(self) -> torch.Tensor:
        return torch.cat([part.detach() for part in self.outputs])

    def _poison(self, k: list[torch.Tensor], y1: torch.Tensor) -> tuple[str, torch.Tensor] | None:
        """The first value of a step that is not finite, and where it came from.

        Raises at once if the accepted state or its slope has it, because then no step can be small enough.
        """
        if not _finite(self.y):
            self._fail("state", self.y)
        if not _finite(self.f):
            self._fail("field", self.f)
        for stage in k:
            if not _finite(stage):
                return "field", stage
        return None if _finite(y1) else ("state", y1)

    def _give_up(self, dt: float) -> None:
        """Raise for a step that cannot get smaller."""
        if self.poison is not None:
            self._fail(*self.poison)
        raise failure.underflow(self.problem, self.t, dt, self._statistics, self._reached())

    def _fail(self, origin: str, culprit: torch.Tensor) -> None:
        raise failure.non_finite(self.problem, self.t, origin, culprit, self._statistics, self._reached())

    def _require_finite(self, states: torch.Tensor) -> None:
        finite = torch.isfinite(states.detach())
        if bool(finite.all()):
            return
        count = len(self.times)
        first = int((~finite).view(count, -1).any(dim=1).nonzero()[0])
        raise failure.non_finite(
            self.problem, self.times[first], "state", states[first], self._statistics, states[:first]
        )


def _finite(x: torch.Tensor) -> bool:
    return bool(torch.isfinite(x.detach()).all())
