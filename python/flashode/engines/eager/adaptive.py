"""Steps whose size follows the error estimate."""

from __future__ import annotations

import bisect
import math

import torch

from flashode.engines import failure
from flashode.engines.eager.callbacks import notify
from flashode.engines.eager.controller import error_ratio, first_step, measuring, next_step
from flashode.engines.eager.dense_output import AdaptiveStep
from flashode.engines.eager.event import find_event, is_before_event
from flashode.engines.eager.finite import first_not_finite, is_finite, require_finite
from flashode.engines.eager.implicit import runge_kutta_stepper
from flashode.engines.eager.step import Clock, is_differentiated, just_after
from flashode.engines.protocol import Forward
from flashode.problem import AdaptiveOptions, Problem, step_fractions
from flashode.problem.integration import time_dtype
from flashode.statistics import Statistics


def solve_adaptive(problem: Problem) -> Forward:
    """Solve."""
    return _Run(problem).solve()


class _Run:
    """One solve, with its present time, state and slope."""

    def __init__(self, problem: Problem) -> None:
        assert isinstance(problem.options, AdaptiveOptions)
        self.problem = problem
        self.options = problem.options
        self.tableau = problem.tableau
        self.stepper = runge_kutta_stepper(problem, Statistics())
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
        # The first value of the last step that was not finite, and its origin.
        self.not_finite: tuple[str, torch.Tensor] | None = None

    def solve(self) -> Forward:
        self.f = self.stepper.evaluate(self.t, self.shift, self.y)
        dt = self.options.first_step
        self.dt = first_step(self.stepper, self.f) if dt is None else dt
        if self.problem.event is not None:
            times: tuple[float, ...] = self._until_event()
        elif self.problem.every_step:
            times = self._through_every_step()
        else:
            times = self.times
            self._through_outputs()
        states = torch.cat(self.outputs)
        require_finite(self.problem, states, times, self._statistics)
        own_times = None
        if self.problem.finds_times:
            own_times = torch.tensor(times, dtype=torch.float64, device="cpu")
        return Forward(states, self._statistics, times=own_times)

    def _through_outputs(self) -> None:
        i = 1
        while i < len(self.times):
            steps = 0
            while self.times[i] > self.t:
                self._step(steps)
                steps += 1
            stop = bisect.bisect_right(self.times, self.t, lo=i)
            moved = None if self.moved is None else self.moved[i:stop]
            self.outputs.append(self.last_step.at(self.times[i:stop], moved))
            i = stop

    def _through_every_step(self) -> tuple[float, ...]:
        """Take the steps up to the last time, and all their nodes as outputs; the times of these."""
        fractions = step_fractions(self.problem)
        times = [self.t]
        steps = 0
        while self.times[-1] > self.t:
            start = self.t
            self._step(steps)
            steps += 1
            if self.t > start:
                self.outputs.append(self.last_step.inside(fractions))
                times += [start + x * (self.t - start) for x in fractions[:-1]]
                times.append(self.t)
        return tuple(times)

    def _until_event(self) -> tuple[float, float]:
        """Step until the event is passed, and make it the second output; the start and its time."""
        start, steps = self.t, 0
        before = is_before_event(self.problem, start, self.y)
        if not before:
            self.outputs.append(self.y[None])
            return start, start
        while before:
            t = self.t
            self._step(steps)
            steps += 1
            if self.t > t:
                before = is_before_event(self.problem, self.t, self.y)
        step = self.last_step
        t = find_event(self.problem, step.interpolant(), step.clock.t0, step.clock.t1)
        # The event's time depends on nothing, the step that it lies in on the start.
        moved = None if self.moved is None else torch.zeros_like(self.moved[:1])
        self.outputs.append(step.at((t,), moved))
        return start, t

    def _rounded(self, t: float) -> float:
        return t if self.dtype == torch.float64 else float(torch.tensor(t, dtype=self.dtype, device="cpu"))

    def _step(self, steps: int) -> None:
        """Try one step after so many others, and accept or reject it."""
        options, problem = self.options, self.problem
        if steps >= options.max_num_steps:
            raise failure.max_steps(problem, self.t, self._statistics, self._reached(), steps)
        dt = self._clamped(self.dt)
        self.y = notify(problem, problem.callbacks.step, self.dtype, self.t, self.y, dt)
        if not self._rounded(self.t + dt) > self.t:
            self._give_up(dt)
        clock, jumps = self._clock(dt)
        slopes, y1 = self.stepper.step(clock, self.y, self.f)
        k = slopes[-self.tableau.stages :]
        with measuring(problem):
            ratio = error_ratio(problem, self.stepper.error_estimate(k, clock.dt), self.y, y1)
        self.not_finite = None if math.isfinite(ratio) else self._first_not_finite(k, y1)
        accept = ratio <= 1
        if clock.dt <= options.min_step:
            # A forced step may be inaccurate, but it must not bring NaN into the state.
            if self.not_finite is not None:
                self._give_up(clock.dt)
            accept = True
        if accept:
            self._accept(clock, k, y1, jumps)
        else:
            self._statistics.rejected += 1
            self.y = notify(problem, problem.callbacks.reject, self.dtype, self.t, self.y, clock.dt)
        self.dt = self._clamped(next_step(options, self.tableau.order, clock.dt, ratio))

    def _accept(self, clock: Clock, k: list[torch.Tensor], y1: torch.Tensor, jumps: bool) -> None:
        self._statistics.accepted += 1
        self.y = notify(self.problem, self.problem.callbacks.accept, self.dtype, self.t, self.y, clock.dt)
        self.last_step = AdaptiveStep(self.tableau, clock, self.y, y1, k)
        self.t, self.y, self.f = clock.t1, y1, k[-1]
        if clock.stretch is not None:
            # The step ended on a prescribed time, which depends on nothing.
            self.shift = None
        if jumps or not self.tableau.carried:
            start = just_after(self.t, self.problem.real_dtype) if jumps else self.t
            self.f = self.stepper.evaluate(start, self.shift, self.y)

    def _clamped(self, dt: float) -> float:
        return min(max(dt, self.options.min_step), self.options.max_step)

    def _clock(self, dt: float) -> tuple[Clock, bool]:
        """The step, shortened to end on the first prescribed time in it, and whether that is a jump.

        The next prescribed time follows from the present time, not from a count of those stepped on: a step
        that happens to end on one must not hide the later ones.
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

    def _first_not_finite(self, k: list[torch.Tensor], y1: torch.Tensor) -> tuple[str, torch.Tensor] | None:
        """The first value of a step that is not finite, and its origin.

        Raises at once if the accepted state or its slope is not finite, because then no step is small enough.
        """
        if not is_finite(self.y):
            self._fail("state", self.y)
        if not is_finite(self.f):
            self._fail("field", self.f)
        return first_not_finite(k, y1)

    def _give_up(self, dt: float) -> None:
        """Raise for a step that cannot get smaller."""
        if self.not_finite is not None:
            self._fail(*self.not_finite)
        raise failure.underflow(self.problem, self.t, dt, self._statistics, self._reached())

    def _fail(self, origin: str, culprit: torch.Tensor) -> None:
        raise failure.non_finite(
            self.problem, self.t, origin, culprit, self._statistics, self._reached(), self.y
        )
