"""Steps on a grid that is known beforehand."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from flashode.engines import failure
from flashode.engines.eager.callbacks import notify
from flashode.engines.eager.step import Clock, FixedStepper, RungeKuttaStepper, is_differentiated
from flashode.problem import FixedOptions, Problem, fixed_grid
from flashode.statistics import Statistics


def solve_fixed(problem: Problem) -> tuple[torch.Tensor, Statistics]:
    """Solve: states of shape ``(times, *state)``, and the counts.

    Raises:
        TypeError: If the grid constructor returns no tensor.
        ValueError: If its grid does not go from the first to the last time.
    """
    assert isinstance(problem.options, FixedOptions)
    options = problem.options
    stepper = make_stepper(problem, Statistics())
    grid = fixed_grid(problem)
    y = problem.y0
    outputs = [y]
    for clock in _clocks(grid):
        notify(problem, problem.callbacks.step, grid.dtype, clock.t0, y, clock.dt)
        k, y1 = stepper.step(clock, y)
        stepper.statistics.accepted += 1
        while len(outputs) < len(problem.times) and clock.t1 >= problem.times[len(outputs)]:
            outputs.append(_output(stepper, options, clock, y, y1, k[0], len(outputs)))
        y = y1
    states = torch.stack(outputs)
    if not _finite(states):
        _locate(problem, grid, states, stepper.statistics)
    return states, stepper.statistics


def make_stepper(problem: Problem, statistics: Statistics) -> FixedStepper:
    """What takes the steps of the problem's method."""
    return RungeKuttaStepper(problem, statistics)


def _clocks(grid: torch.Tensor) -> Iterator[Clock]:
    times = grid.tolist()
    sizes = (grid[1:] - grid[:-1]).tolist()
    if not is_differentiated(grid):
        for t0, dt, t1 in zip(times[:-1], sizes, times[1:], strict=True):
            yield Clock(t0, dt, t1)
        return
    zeros = (grid - grid.detach()).unbind()
    for i, dt in enumerate(sizes):
        yield Clock(times[i], dt, times[i + 1], zeros[i], zeros[i + 1] - zeros[i])


def _output(
    stepper: FixedStepper,
    options: FixedOptions,
    clock: Clock,
    y0: torch.Tensor,
    y1: torch.Tensor,
    f0: torch.Tensor,
    index: int,
) -> torch.Tensor:
    """The solution at an output time inside a step."""
    problem = stepper.problem
    t = problem.times[index]
    linear = options.interp == "linear"
    if linear and t == clock.t0:
        return y0
    if linear and t == clock.t1:
        return y1
    # Evaluated for each output time, as in torchdiffeq, so that counts agree.
    end = clock.shift if clock.shift is None or clock.stretch is None else clock.shift + clock.stretch
    f1 = f0 if linear else stepper.evaluate(clock.t1, end, y1)
    x: float | torch.Tensor = (t - clock.t0) / (clock.t1 - clock.t0)
    dt: float | torch.Tensor = clock.t1 - clock.t0
    if clock.stretch is not None:
        assert clock.shift is not None
        dt = clock.dt + clock.stretch
        moved = problem.t[index] - problem.t[index].detach()
        x = (t - clock.t0 + (moved - clock.shift)) / dt
        x, dt = x.to(problem.real_dtype), dt.to(problem.real_dtype)
    if linear:
        return y0 + x * (y1 - y0)
    return (
        (1 + 2 * x) * (1 - x) ** 2 * y0
        + x * (1 - x) ** 2 * (dt * f0)
        + x * x * (3 - 2 * x) * y1
        + x * x * (x - 1) * (dt * f1)
    )


def _finite(x: torch.Tensor) -> bool:
    return bool(torch.isfinite(x.detach()).all())


@torch.no_grad()
def _locate(problem: Problem, grid: torch.Tensor, states: torch.Tensor, statistics: Statistics) -> None:
    """Step again, looking this time, and raise where the first value that is not finite turns up."""
    stepper = make_stepper(problem, Statistics())
    reached = states[: int((~torch.isfinite(states)).view(len(states), -1).any(dim=1).nonzero()[0])]
    y = problem.y0
    if not _finite(y):
        raise failure.non_finite(problem, problem.times[0], "state", y, statistics, reached)
    for clock in _clocks(grid):
        k, y1 = stepper.step(clock, y)
        for stage in k:
            if not _finite(stage):
                raise failure.non_finite(problem, clock.t0, "field", stage, statistics, reached)
        if not _finite(y1):
            raise failure.non_finite(problem, clock.t1, "state", y1, statistics, reached)
        y = y1
    # The field did not repeat itself: all that is known is the output.
    raise failure.non_finite(
        problem, problem.times[len(reached)], "state", states[len(reached)], statistics, reached
    )
