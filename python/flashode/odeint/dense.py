"""A solution as a function of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from flashode.autograd import solve
from flashode.dispatch import cached
from flashode.engines import choose
from flashode.odeint.face import face
from flashode.odeint.transformed import refuse_mapping
from flashode.problem import (
    DEFAULT_ATOL,
    DEFAULT_RTOL,
    DISCRETE,
    Problem,
    State,
    as_time,
    connected_times,
    device_of,
    make_problem,
    step_fractions,
)
from flashode.statistics import Statistics
from flashode.uncompiled import uncompiled
from flashode.verify import Verify


@face
def odeint_dense(
    func: Callable[..., Any],
    y0: State,
    t0: torch.Tensor | float,
    t1: torch.Tensor | float,
    *,
    rtol: Any = DEFAULT_RTOL,
    atol: Any = DEFAULT_ATOL,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    verify: Verify = "first",
) -> DenseOutput:
    """Solve from ``t0`` to ``t1`` once, for the solution at any times between them.

    The values are those that :func:`odeint` gives at the same times, and so are the gradients: in ``y0``,
    ``t0``, the parameters of ``func`` and any tensor it closes over, to any order, and in the times of
    evaluation.

    Args:
        func: As for :func:`odeint`.
        y0: As for :func:`odeint`.
        t0: Initial time, a 0-d floating-point tensor or a number.
        t1: Last time, likewise; it may be less than ``t0``.
        rtol: As for :func:`odeint`.
        atol: As for :func:`odeint`.
        method: As for :func:`odeint`, but not ``"scipy_solver"``, which has no interpolant.
        options: As for :func:`odeint`. Fixed-step methods take a single step where they are given neither
            ``step_size`` nor ``grid_constructor``; between grid points they are as accurate as ``interp``.
        verify: As for :func:`odeint`.

    Returns:
        The solution, a function of times.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value.
        SolverError: As :func:`odeint`.
    """
    refuse_mapping(y0=y0, t0=t0, t1=t1)
    t = _ends(t0, t1, y0)
    problem = make_problem(
        func, y0, t, rtol=rtol, atol=atol, method=method, options=options, verify=verify, every_step=True
    )
    if problem.method.interpolant is None:
        raise ValueError(f"method must be one with an interpolant, got {problem.method.name!r}")
    plan = choose(problem, DISCRETE)
    states, times = solve(problem, DISCRETE, plan)
    assert times is not None
    return DenseOutput(problem, states, times, plan.statistics)


class DenseOutput:
    """A solution between two times; :func:`odeint_dense` makes it.

    Attributes:
        t0: The initial time.
        t1: The last time.
        steps: How many steps the solve took from one to the other.
        statistics: What the solve cost, where that is known.
    """

    def __init__(
        self, problem: Problem, states: torch.Tensor, times: torch.Tensor, statistics: Statistics | None
    ) -> None:
        self.t0 = problem.direction * problem.times[0]
        self.t1 = problem.direction * problem.times[-1]
        self.statistics = statistics
        self._problem = problem
        degree = len(step_fractions(problem))
        ends = connected_times(problem, times)[::degree]
        nodes = states.unfold(0, degree + 1, degree)  # (steps, *state, degree + 1)
        self.steps = len(nodes)
        starts, stops = ends[:-1], ends[1:].contiguous()  # searchsorted copies others
        # A grid may have a point twice; nothing lies in such a step.
        real = stops.detach() > starts.detach()
        if not bool(real.all()):
            starts, stops, nodes = starts[real], stops[real], nodes[real]
        self._starts, self._stops = starts, stops
        self._nodes = nodes.reshape(len(nodes), problem.y0.numel(), degree + 1)

    @uncompiled
    def __call__(self, t: torch.Tensor | float) -> Any:
        """The solution at times between ``t0`` and ``t1``.

        Args:
            t: A number, or a real tensor of any shape.

        Returns:
            Shape ``(*t.shape, *y0.shape)`` and dtype of ``y0``, or a tuple of such; differentiable in ``t``,
            and in whatever the solve was differentiable in.

        Raises:
            TypeError: If it is no number and no real tensor.
            ValueError: If it lies outside.
        """
        problem = self._problem
        shape, times = self._solver_times(t)
        step = torch.searchsorted(self._stops.detach(), times.detach()).clamp(max=len(self._stops) - 1)
        start = self._starts[step]
        x = (times - start) / (self._stops[step] - start)
        powers = x[:, None] ** torch.arange(self._nodes.shape[-1], dtype=x.dtype, device=x.device)
        weights = powers @ _lagrange(self._nodes.shape[-1], x.device)  # (times, nodes)
        # One product and sum for all times: a matrix product would need complex weights for complex states.
        values = (self._nodes[step] * weights[:, None].to(problem.real_dtype)).sum(-1)
        return problem.unflatten(values.view(shape + problem.y0.shape))

    def __repr__(self) -> str:
        return (
            f"DenseOutput(t0={self.t0:.9g}, t1={self.t1:.9g}, method={self._problem.method.name!r}, "
            f"steps={self.steps})"
        )

    def _solver_times(self, t: Any) -> tuple[torch.Size, torch.Tensor]:
        """The shape of the times, and these as solver time, 1-D and float64."""
        if not isinstance(t, (torch.Tensor, int, float)):
            raise TypeError(f"t must be a number or a real tensor, got {type(t).__name__}")
        asked = t if isinstance(t, torch.Tensor) else torch.tensor(t, dtype=torch.float64, device="cpu")
        if asked.is_complex() or asked.dtype == torch.bool:
            raise TypeError(f"t must be a number or a real tensor, got {asked.dtype}")
        precision = asked.dtype if asked.is_floating_point() else torch.float64
        times = self._problem.direction * asked.reshape(-1).to(self._stops)
        first, last = self._problem.times[0], self._problem.times[-1]
        # What was rounded from a time inside is inside.
        margin = 2 * torch.finfo(precision).eps * max(abs(first), abs(last))
        outside = ~((times >= first - margin) & (times <= last + margin)).detach()
        if bool(outside.any()):
            low, high = sorted((self.t0, self.t1))
            found = asked.detach().reshape(-1)[outside.to(asked.device)].tolist()
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise ValueError(
                f"t must lie between {low:.9g} and {high:.9g}, where the solution is known, got "
                f"{', '.join(f'{x:.9g}' for x in found[:3])}{more}"
            )
        return asked.shape, times


def _ends(t0: Any, t1: Any, y0: Any) -> torch.Tensor:
    """Both times in one tensor."""
    ends = as_time("t0", t0, y0), as_time("t1", t1, y0)
    dtype = torch.promote_types(ends[0].dtype, ends[1].dtype)
    t = torch.stack([end.to(device_of(y0), dtype) for end in ends])
    if bool(t[0] == t[1]):
        raise ValueError(f"t0 and t1 must differ, got {float(t0):.9g} for both")
    return t


@cached
def _lagrange(count: int, device: torch.device) -> torch.Tensor:
    """From powers x**0 .. x**(count - 1) to the weights of values at equally spaced points from 0 to 1."""
    points = torch.linspace(0, 1, count, dtype=torch.float64, device="cpu")
    weights: torch.Tensor = torch.linalg.inv(torch.linalg.vander(points))
    return weights.to(device)
