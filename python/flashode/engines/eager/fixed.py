"""Steps on a grid that is known beforehand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch

from flashode.engines import failure
from flashode.engines.eager.adams import AdamsStepper
from flashode.engines.eager.callbacks import notify
from flashode.engines.eager.dense_output import FixedStep
from flashode.engines.eager.event import find_event, is_before_event
from flashode.engines.eager.finite import first_not_finite, first_output, is_finite
from flashode.engines.eager.implicit import runge_kutta_stepper
from flashode.engines.eager.step import Clock, RungeKuttaStepper, is_differentiated
from flashode.engines.protocol import Forward
from flashode.errors import NonFiniteError
from flashode.methods import Adams
from flashode.methods.control import MOST_STEPS_TO_EVENT
from flashode.methods.interpolants import LINEAR
from flashode.problem import FixedOptions, Problem, as_floats, fixed_grid, step_fractions
from flashode.statistics import Statistics


def solve_fixed(problem: Problem) -> Forward:
    """Solve.

    Raises:
        TypeError: If the grid constructor returns no tensor.
        ValueError: If its grid does not go from the first to the last time.
    """
    if problem.event is not None:
        return _until_event(problem)
    stepper = make_stepper(problem, Statistics())
    grid = fixed_grid(problem)
    y = problem.y0
    outputs = [y]
    times = [problem.times[0]]
    for clock in _clocks(grid):
        y = notify(problem, problem.callbacks.step, grid.dtype, clock.t0, y, clock.dt)
        k, y1 = stepper.step(clock, y)
        stepper.statistics.accepted += 1
        if problem.every_step:
            for x in step_fractions(problem):
                times.append(clock.t1 if x == 1 else clock.t0 + x * (clock.t1 - clock.t0))
                outputs.append(_step(stepper, clock, y, y1, k[0]).inside(x))
        else:
            while len(outputs) < len(problem.times) and clock.t1 >= problem.times[len(outputs)]:
                i = len(outputs)
                moved = None if clock.stretch is None else problem.t[i] - problem.t[i].detach()
                outputs.append(_step(stepper, clock, y, y1, k[0]).at(problem.times[i], moved))
        y = y1
    states = torch.stack(outputs)
    if not is_finite(states):
        _locate(problem, grid, states, stepper.statistics)
    own_times = torch.tensor(times, dtype=torch.float64, device="cpu") if problem.every_step else None
    return Forward(states, stepper.statistics, times=own_times)


def make_stepper(problem: Problem, statistics: Statistics, *, quiet: bool = False) -> RungeKuttaStepper:
    """The stepper of the problem's method; ``quiet``, without a warning of unsolved equations."""
    if isinstance(problem.method, Adams):
        return AdamsStepper(problem, statistics, quiet)
    return runge_kutta_stepper(problem, statistics, quiet)


def _clocks(grid: torch.Tensor) -> Iterator[Clock]:
    times = as_floats(grid)
    sizes = as_floats(grid[1:] - grid[:-1])
    if not is_differentiated(grid):
        for t0, dt, t1 in zip(times[:-1], sizes, times[1:], strict=True):
            yield Clock(t0, dt, t1)
        return
    zeros = (grid - grid.detach()).unbind()
    for i, dt in enumerate(sizes):
        yield Clock(times[i], dt, times[i + 1], zeros[i], zeros[i + 1] - zeros[i])


def _step(
    stepper: RungeKuttaStepper, clock: Clock, y0: torch.Tensor, y1: torch.Tensor, f0: torch.Tensor
) -> FixedStep:
    """The solution inside a step. Its slope at the end, if it has one, is evaluated now.

    A new one for each output, as in torchdiffeq, so that counts of evaluations agree.
    """
    options = stepper.problem.options
    assert isinstance(options, FixedOptions)
    slopes = None if options.interp == LINEAR.name else (f0, stepper.evaluate(clock.t1, clock.end, y1))
    return FixedStep(clock, y0, y1, slopes)


def _until_event(problem: Problem) -> Forward:
    """Step from the start, without end, until the event is passed: the states there and at the event."""
    stepper = make_stepper(problem, Statistics())
    statistics = stepper.statistics
    y = problem.y0
    if not is_before_event(problem, problem.times[0], y):
        return _event(problem, y, problem.times[0], statistics)
    dtype = problem.real_dtype
    for clock in _clocks_without_end(problem):
        if statistics.accepted >= MOST_STEPS_TO_EVENT:
            raise failure.max_steps(problem, clock.t0, statistics, problem.y0[None], MOST_STEPS_TO_EVENT)
        y = notify(problem, problem.callbacks.step, dtype, clock.t0, y, clock.dt)
        k, y1 = stepper.step(clock, y)
        statistics.accepted += 1
        try:
            if not is_before_event(problem, clock.t1, y1):
                break
        except NonFiniteError:
            # Where the state is to blame the event function is not.
            _require_finite(problem, clock, k, y1, statistics, problem.y0[None], y)
            raise
        y = y1
    _require_finite(problem, clock, k, y1, statistics, problem.y0[None], y)
    step = _step(stepper, clock, y, y1, k[0])
    t = find_event(problem, lambda t: step.at(t, None), clock.t0, clock.t1)
    # The event's time depends on nothing, the step that it lies in on the start.
    moved = None if clock.shift is None else torch.zeros_like(clock.shift)
    return _event(problem, step.at(t, moved), t, statistics)


def _event(problem: Problem, y: torch.Tensor, t: float, statistics: Statistics) -> Forward:
    states = torch.stack([problem.y0, y])
    own_times = torch.tensor([problem.times[0], t], dtype=torch.float64, device="cpu")
    return Forward(states, statistics, times=own_times)


def _clocks_without_end(problem: Problem) -> Iterator[Clock]:
    """The steps that torchdiffeq takes to an event: each starts where the one before it ended."""
    size = problem.integration.step_size
    assert size is not None
    dt, t0 = float(size.detach() if isinstance(size, torch.Tensor) else size), problem.times[0]
    shift = stretch = None
    if is_differentiated(problem.t) or (isinstance(size, torch.Tensor) and is_differentiated(size)):
        shift = problem.t[0] - problem.t[0].detach()
        stretch = size - size.detach() if isinstance(size, torch.Tensor) else torch.zeros_like(shift)
    for i in itertools.count():
        t1 = t0 + dt
        if shift is None or stretch is None:
            yield Clock(t0, dt, t1)
        else:
            yield Clock(t0, dt, t1, shift + i * stretch, stretch)
        t0 = t1


def _require_finite(
    problem: Problem,
    clock: Clock,
    k: list[torch.Tensor],
    y1: torch.Tensor,
    statistics: Statistics,
    reached: torch.Tensor,
    start: torch.Tensor,
) -> None:
    """Raise if the solution of a step is not finite."""
    bad = None if is_finite(y1) else first_not_finite(k, y1)
    if bad is not None:
        origin, culprit = bad
        t = clock.t0 if origin == "field" else clock.t1
        raise failure.non_finite(problem, t, origin, culprit, statistics, reached, start)


def _locate(problem: Problem, grid: torch.Tensor, states: torch.Tensor, statistics: Statistics) -> None:
    """Step again, looking this time, and raise where the first value that is not finite turns up."""
    # Of equations that are not solved the first solve has warned.
    stepper = make_stepper(problem, Statistics(), quiet=True)
    first = first_output(states)
    reached = states[:first]
    y = problem.y0
    if not is_finite(y):
        raise failure.non_finite(problem, problem.times[0], "state", y, statistics, reached)
    for clock in _clocks(grid):
        k, y1 = stepper.step(clock, y)
        _require_finite(problem, clock, k, y1, statistics, reached, y)
        y = y1
    # The field did not repeat itself: all that is known is the output.
    t = problem.times[-1] if problem.every_step else problem.times[first]
    raise failure.non_finite(problem, t, "state", states[first], statistics, reached)
