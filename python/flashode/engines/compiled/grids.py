"""The grids of fixed-step methods, made by torch and read by the compiled module."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from flashode.problem import Continuous, FixedOptions, Problem, fixed_grid


def memory_of(times: Tensor) -> Tensor:
    """A copy of times, whose owner may change them, as memory that the compiled module reads."""
    own = times.detach()
    return own.to("cpu", torch.float64, copy=True, memory_format=torch.contiguous_format)


class Grid:
    """The grid of one solve, made when it is first asked for.

    What it is made from, which may be anything that a user's function reads, gets its gradient from
    autograd: the grid itself is an input of the solve.

    Attributes:
        on_outputs: Whether it is the output times themselves.
    """

    def __init__(self, problem: Problem, connected: bool) -> None:
        """Prepares it.

        Args:
            problem: A problem whose method steps on a grid.
            connected: Whether its gradient may be wanted.
        """
        options = problem.integration.options
        assert isinstance(options, FixedOptions)
        self.on_outputs = options.on_outputs
        self._problem = problem
        self._connected = connected
        self._values: Tensor | None = None

    @property
    def values(self) -> Tensor:
        """Solver times, 1-D; connected to what they were made from if grad mode was on at the time."""
        if self._values is None:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self._connected):
                self._values = fixed_grid(self._problem)
        return self._values

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The grid, if gradients go through it to something else than the output times as they are."""
        if self.on_outputs or self._problem.event is not None:
            return ()
        return (self.values,) if self.values.requires_grad else ()


def on_grid(problem: Problem, grid: Tensor) -> Problem:
    """The problem with a grid that is known."""
    assert isinstance(problem.options, FixedOptions)
    options = replace(problem.options, step_size=None, grid_constructor=True)
    integration = replace(
        problem.integration.with_integrator(options=options),
        grid_constructor=lambda func, y0, t: grid,
        differentiable_step=None,
    )
    return replace(problem, integration=integration)


def time_gradients(
    problem: Problem, grid: Grid | None, grad_times: Tensor, grad_points: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """From gradients in where the outputs and the steps lie to those in ``problem.t`` and in the grid.

    Args:
        problem: What was solved.
        grid: Its grid, or None for an adaptive method.
        grad_times: Gradient in the times of the outputs, through dense output.
        grad_points: Gradient in the grid, or in the start of an adaptive method's steps; zeros follow it.

    Returns:
        The gradient in ``problem.t``, and one for each of ``grid.inputs``.
    """
    t = problem.t
    if problem.event is not None:
        # All steps move with the start, and the event's time is a constant.
        first = grad_times[:1] + grad_points.sum()
        return torch.cat([first, torch.zeros_like(first)]).to(t), ()
    if problem.every_step:
        # Nodes lie at fractions of the steps, whose ends are all that they depend on.
        grad_times = grad_points.new_zeros(len(t))
    if grid is None or grid.on_outputs:
        grad_times = grad_times + grad_points
    return grad_times.to(t), () if grid is None else tuple(grad_points.to(g) for g in grid.inputs)


def adjoint_grids(problem: Problem, adjoint: Continuous, times: Tensor) -> list[list[float]]:
    """For each output interval, the grid on which a fixed-step adjoint method steps back over it.

    Args:
        problem: What was solved.
        adjoint: How to solve its adjoint equations.
        times: The solver times of the outputs.
    """
    if adjoint.integration.method.control == "error":
        return []
    options = adjoint.integration.options
    assert isinstance(options, FixedOptions)
    if options.on_outputs:
        return [[-end, -start] for start, end in pairwise(times.tolist())]
    ends = -times
    grids = []
    for i in range(len(ends) - 1):
        interval = replace(problem, t=ends[i : i + 2].flip(0), integration=adjoint.integration)
        grids.append(fixed_grid(interval).tolist())
    return grids
