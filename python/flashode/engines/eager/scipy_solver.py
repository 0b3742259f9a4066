"""Solves that SciPy runs. The only place that imports it, and only when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from flashode.engines.eager.finite import require_finite
from flashode.engines.protocol import Forward
from flashode.errors import SolverError
from flashode.problem import Problem, SciPyOptions
from flashode.statistics import Statistics

if TYPE_CHECKING:
    import numpy


def solve_scipy(problem: Problem) -> Forward:
    """Solve by ``scipy.integrate.solve_ivp``, on the host, in double precision.

    The states are no part of any graph: SciPy cannot be differentiated. SciPy does not say how many steps it
    took.

    Raises:
        ImportError: If SciPy is not installed.
        SolverError: If SciPy's solver gave up.
    """
    options = problem.options
    assert isinstance(options, SciPyOptions)
    statistics = Statistics()
    y0 = problem.y0.detach()
    if len(problem.times) == 1:
        return Forward(y0[None], statistics)
    known: dict[str, Any] = {"max_step": options.max_step}
    if options.min_step is not None:
        known["min_step"] = options.min_step
    solution = _solve_ivp()(
        _field(problem, statistics),
        (problem.times[0], problem.times[-1]),
        _numbers(y0),
        t_eval=problem.times,
        method=options.solver,
        rtol=_tolerance(problem.rtol, y0),
        atol=_tolerance(problem.atol, y0),
        **known,
    )
    reached = len(solution.t)
    states = torch.from_numpy(solution.y.T.copy()).to(y0.device, y0.dtype).view(reached, *y0.shape)
    if not solution.success:
        t = problem.direction * (float(solution.t[-1]) if reached else problem.times[0])
        raise SolverError(
            f"SciPy's solver {options.solver} reached {reached} of {len(problem.times)} output times, the "
            f"last of them t = {t:.9g}: {solution.message}",
            statistics=statistics,
            t=t,
            times=problem.direction * problem.t[:reached].detach(),
            partial=problem.unflatten(states),
        )
    require_finite(problem, states, problem.times, statistics)
    return Forward(states, statistics)


def _solve_ivp() -> Any:
    try:
        from scipy.integrate import solve_ivp
    except ImportError:
        raise ImportError("method 'scipy_solver' needs SciPy: pip install scipy") from None
    return solve_ivp


def _field(problem: Problem, statistics: Statistics) -> Any:
    """The field as a function of a number and a vector."""
    y0 = problem.y0

    @torch.no_grad()
    def field(t: float, y: numpy.ndarray[Any, Any]) -> numpy.ndarray[Any, Any]:
        statistics.evaluations += 1
        time = torch.full((), t, dtype=problem.real_dtype, device=y0.device)
        # SciPy may use the memory of y again.
        state = torch.tensor(y).to(y0.device, y0.dtype).view(y0.shape)
        return _numbers(problem.field(time, state))

    return field


def _numbers(x: torch.Tensor) -> numpy.ndarray[Any, Any]:
    wide = torch.complex128 if x.is_complex() else torch.float64
    numbers: numpy.ndarray[Any, Any] = x.detach().to("cpu", wide).reshape(-1).resolve_conj().numpy()
    return numbers


def _tolerance(tolerance: float | torch.Tensor, y0: torch.Tensor) -> float | numpy.ndarray[Any, Any]:
    return _numbers(tolerance.expand(y0.shape)) if isinstance(tolerance, torch.Tensor) else tolerance
