"""The grid that fixed-step methods step on."""

from __future__ import annotations

import torch

from flashode.problem.definition import Problem
from flashode.problem.options import FixedOptions


def fixed_grid(problem: Problem) -> torch.Tensor:
    """The grid of a fixed-step solve in solver time, 1-D, connected by autograd to what it was made from.

    Raises:
        TypeError: If the user's grid constructor returns no tensor.
        ValueError: If its grid is not ordered or does not go from the first to the last time.
    """
    options = problem.options
    assert isinstance(options, FixedOptions)
    t = problem.t
    if options.step_size is not None:
        steps = torch.ceil((t[-1] - t[0]).detach() / _detached(options.step_size) + 1)
        grid = torch.arange(0, int(steps), dtype=t.dtype, device=t.device) * options.step_size + t[0]
        return torch.cat([grid[:-1], t[-1:]])
    if options.grid_constructor is None:
        return t

    def field(time: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return problem.direction * problem.field(problem.direction * time, y)

    grid = options.grid_constructor(field, problem.y0, t)
    if not isinstance(grid, torch.Tensor):
        raise TypeError(f"grid_constructor must return a tensor, got {type(grid).__name__}")
    if grid.dim() != 1 or len(grid) == 0 or grid[0] != t[0] or grid[-1] != t[-1]:
        raise ValueError(
            "grid_constructor must return a one-dimensional tensor that starts with t[0] and ends with "
            f"t[-1], got {problem.direction * grid.detach()}"
        )
    if not bool((grid[1:] >= grid[:-1]).all()):
        raise ValueError(
            f"grid_constructor must return ordered times, got {problem.direction * grid.detach()}"
        )
    return grid


def _detached(x: float | torch.Tensor) -> float | torch.Tensor:
    return x.detach() if isinstance(x, torch.Tensor) else x
