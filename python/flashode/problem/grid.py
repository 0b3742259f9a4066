"""The grid of fixed-step methods, and derivatives of the times that a solve itself determines."""

from __future__ import annotations

import torch

from flashode.problem.definition import Problem
from flashode.problem.integration import time_dtype
from flashode.problem.options import AdaptiveOptions, FixedOptions
from flashode.problem.times import equal_steps


def fixed_grid(problem: Problem) -> torch.Tensor:
    """The grid of a fixed-step solve in solver time, 1-D, connected by autograd to what it was made from.

    Raises:
        TypeError: If the user's grid constructor returns no tensor.
        ValueError: If its grid is not ordered or does not go from the first to the last time.
    """
    options = problem.options
    assert isinstance(options, FixedOptions)
    t = problem.t
    if options.on_outputs:
        return t
    step_size, construct = problem.integration.step_size, problem.integration.grid_constructor
    if step_size is not None:
        if isinstance(step_size, torch.Tensor):
            return equal_steps(t, step_size)
        return problem.output_times.grid(t, step_size)
    assert construct is not None

    def field(time: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return problem.direction * problem.field(problem.direction * time, y.clone())

    grid = construct(field, problem.y0.clone(), t.clone())
    if not isinstance(grid, torch.Tensor):
        raise TypeError(f"grid_constructor must return a tensor, got {type(grid).__name__}")
    if grid.dim() != 1 or len(grid) == 0:
        raise ValueError(
            f"grid_constructor must return a one-dimensional tensor of times, got shape {tuple(grid.shape)}"
        )
    times = problem.direction * grid.detach()
    if grid[0] != t[0] or grid[-1] != t[-1]:
        raise ValueError(
            "grid_constructor must return a tensor that starts with t[0] and ends with t[-1], got one from "
            f"{times[0].item()} to {times[-1].item()}"
        )
    ordered = grid[1:] >= grid[:-1]
    if not bool(ordered.all()):
        i = int(ordered.int().argmin())
        raise ValueError(
            f"grid_constructor must return ordered times, got grid[{i}] = {times[i].item()} and "
            f"grid[{i + 1}] = {times[i + 1].item()}"
        )
    return grid


def step_fractions(problem: Problem) -> tuple[float, ...]:
    """Where in each step the outputs of a solve for every step lie, as fractions of the step."""
    interpolant = problem.integration.integrator.interpolant
    assert interpolant is not None
    return interpolant.fractions


def connected_times(problem: Problem, times: torch.Tensor) -> torch.Tensor:
    """The solver times that a solve found, connected by autograd to what they depend on.

    The start is ``problem.t[0]``. An event's time is a constant of differentiation. The outputs of a solve
    for every step move with the steps: those of an adaptive method with the start, until a step ends on a
    prescribed time; those of a fixed-step method with the grid.

    Args:
        problem: What was solved.
        times: 1-D, float64, as the solve gave them.

    Returns:
        1-D, float64, of the same values, on the device of ``problem.t``.
    """
    t = problem.t
    times = times.to(t.device)
    if problem.event is not None:
        return torch.cat([t[:1].double(), times[1:]])
    if isinstance(problem.options, FixedOptions):
        grid = fixed_grid(problem).double()
        fractions = times.new_tensor(step_fractions(problem))
        nodes = grid[:-1, None] + (grid[1:] - grid[:-1])[:, None] * fractions
        moved = torch.cat([grid[:1], nodes.reshape(-1)])
        return times + (moved - moved.detach())
    start = t[0].double()
    return times + _share_of_start(problem, times) * (start - start.detach())


def _share_of_start(problem: Problem, times: torch.Tensor) -> torch.Tensor:
    """How much each output time of an adaptive solve for every step moves with the start."""
    options = problem.options
    assert isinstance(options, AdaptiveOptions)
    fractions = times.new_tensor(step_fractions(problem))
    ends = times[:: len(fractions)]
    prescribed = times.new_tensor((*options.step_t, *options.jump_t))
    prescribed = prescribed.to(time_dtype(options, problem.y0)).double()
    # Neither a prescribed time nor what comes after it moves.
    first = prescribed[prescribed > ends[0]].min() if bool((prescribed > ends[0]).any()) else torch.inf
    share = (ends < first).double()
    inside = share[:-1, None] + (share[1:] - share[:-1])[:, None] * fractions
    return torch.cat([share[:1], inside.reshape(-1)])
