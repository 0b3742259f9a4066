"""Implicit methods in the compiled engine: stage equations in forty digits, stiff problems, derivatives."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn

import flashode
from flashode import use_engine
from flashode.methods import TABLEAUX, Tableau
from problems import Counting, Network, values

D = torch.float64
IMPLICIT = [name for name, tableau in TABLEAUX.items() if tableau.equations != "none"]
# Of the solution at the end of a step, where it is exact to rounding.
CLOSE = {"rtol": 1e-13, "atol": 1e-14}


class Coupled(Counting):
    """Nonlinear, time-dependent, with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        a, b = y[..., :1], y[..., 1:]
        return torch.cat([torch.sin(3 * t) * b - self.rate * a**3, torch.cos(a) - b * torch.exp(t)], -1)


def _coupled_exactly(t: Any, a: Any, b: Any) -> tuple[Any, Any]:
    rate = mpmath.mpf(0.7)
    return mpmath.sin(3 * t) * b - rate * a**3, mpmath.cos(a) - b * mpmath.exp(t)


def _exact_step(tableau: Tableau, t0: float, dt: float, y0: list[float]) -> list[float]:
    """A step from the stage equations, all of them at once, in forty digits."""
    with mpmath.workdps(40):
        stages = tableau.stages
        a = [[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in tableau.a]
        b = [mpmath.mpf(x.numerator) / x.denominator for x in tableau.b]
        start, size = [mpmath.mpf(y) for y in y0], mpmath.mpf(dt)

        def residual(*k: Any) -> list[Any]:
            missing = []
            for i in range(stages):
                y = [start[d] + size * sum(a[i][j] * k[2 * j + d] for j in range(stages)) for d in range(2)]
                rates = _coupled_exactly(t0 + size * sum(a[i]), *y)
                missing += [k[2 * i + d] - rates[d] for d in range(2)]
            return missing

        first = list(_coupled_exactly(mpmath.mpf(t0), *start)) * stages
        k = mpmath.findroot(residual, first)
        return [float(start[d] + size * sum(b[j] * k[2 * j + d] for j in range(stages))) for d in range(2)]


@pytest.mark.parametrize("method", IMPLICIT)
def test_steps_solve_the_stage_equations(method: str) -> None:
    y0 = values(11, 2, scale=0.6)
    t = torch.tensor([0.2, 0.55], dtype=D)
    solution = flashode.odeint(Coupled(), y0, t, method=method)[1]
    size = float(t[1] - t[0])
    wanted = [_exact_step(TABLEAUX[method], 0.2, size, y.tolist()) for y in y0]
    torch.testing.assert_close(solution, torch.tensor(wanted, dtype=D), **CLOSE)


@pytest.mark.parametrize("z", [-0.5, -3.0, -1e4], ids=str)
@pytest.mark.parametrize("method", IMPLICIT)
def test_linear_problems_give_the_stability_function(method: str, z: float) -> None:
    tableau = TABLEAUX[method].floats()
    a, b = np.array(tableau.a), np.array(tableau.b)
    wanted = 1 + z * b @ np.linalg.solve(np.eye(len(b)) - z * a, np.ones(len(b)))
    t = torch.tensor([0.0, 0.5], dtype=D)
    y0 = torch.tensor([[1.0], [-3.0]], dtype=D)
    solution = flashode.odeint(lambda t, y: 2 * z * y, y0, t, method=method)[1]
    # What cancels in y0 + z * … is as large as y0.
    torch.testing.assert_close(solution / y0, torch.full_like(y0, wanted), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def _ends(field: nn.Module, y0: Tensor, ends: Tensor, method: str, steps: int) -> Tensor:
    """The solution at the last time after equal steps."""
    t = torch.linspace(float(ends[0]), float(ends[1]), steps + 1, dtype=D)
    states: Tensor = flashode.odeint(field, y0, t, method=method)
    return states[-1]


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
@pytest.mark.parametrize("method", IMPLICIT)
def test_observed_order(method: str, direction: float) -> None:
    field = Network()
    y0 = values(3, 3)
    order = TABLEAUX[method].order
    ends = direction * torch.tensor([0.2, 1.0], dtype=D)
    exact = _ends(field, y0, ends, "gl6", 80)
    errors = [float((_ends(field, y0, ends, method, steps) - exact).abs().max()) for steps in (6, 12)]
    assert order - 0.3 < np.log2(errors[0] / errors[1]) < order + 0.7


def _van_der_pol(t: Tensor, y: Tensor) -> Tensor:
    x, speed = y[..., 0], y[..., 1]
    return torch.stack([speed, 1000 * (1 - x**2) * speed - x], -1)


def _robertson(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    slow, back, fast = 0.04 * a, 1e4 * b * c, 3e7 * b**2
    return torch.stack([back - slow, slow - back - fast, fast], -1)


def _by_scipy(field: Any, y0: list[float], end: float) -> Tensor:
    solution = solve_ivp(
        lambda t, y: field(torch.tensor(t), torch.from_numpy(y)).numpy(),
        (0.0, end),
        y0,
        method="Radau",
        rtol=1e-10,
        atol=1e-13,
    )
    return torch.from_numpy(solution.y[:, -1])


STIFF = {
    "van der Pol": (_van_der_pol, [2.0, 0.0], torch.linspace(0, 800, 2001, dtype=D)),
    "Robertson": (
        _robertson,
        [1.0, 0.0, 0.0],
        torch.cat([torch.zeros(1, dtype=D), torch.logspace(-6, 5, 300, dtype=D)]),
    ),
}
# Relative to the solution, at these steps: an error of the method, an order of magnitude above what it is.
STIFF_ERRORS = {
    "implicit_euler": (0.1, 0.2),
    "implicit_midpoint": (2e-3, 5e-3),
    "trapezoid": (1e-3, 5e-3),
    "radauIIA3": (5e-6, 1e-4),
    "radauIIA5": (1e-7, 1e-8),
    "sdirk2": (2e-4, 3e-3),
    "trbdf2": (5e-4, 3e-3),
}


@cache
def _end_of(problem: str) -> Tensor:
    field, y0, t = STIFF[problem]
    return _by_scipy(field, y0, float(t[-1]))


@pytest.mark.parametrize("problem", list(STIFF))
@pytest.mark.parametrize("method", list(STIFF_ERRORS))
def test_stiff_problems(method: str, problem: str) -> None:
    field, y0, t = STIFF[problem]
    wanted = _end_of(problem)
    solution = flashode.odeint(field, torch.tensor(y0, dtype=D), t, method=method)[-1]
    bound = STIFF_ERRORS[method][list(STIFF).index(problem)]
    torch.testing.assert_close(solution, wanted, rtol=bound, atol=0)


@pytest.mark.parametrize("problem", list(STIFF))
def test_repeated_substitution_would_not_solve_the_stage_equations(problem: str) -> None:
    """What the stiff problems are for: implicit Euler's equation does not converge without a Jacobian."""
    field, y0, t = STIFF[problem]
    states = flashode.odeint(field, torch.tensor(y0, dtype=D), t, method="implicit_euler")
    before, solution, size = states[-2], states[-1], t[-1] - t[-2]
    y = solution * (1 + 1e-6)
    for _ in range(20):
        y = before + size * field(t[-1], y)
    assert not torch.isfinite(y).all() or (y - solution).norm() > solution.norm()


def test_states_of_single_precision() -> None:
    field, y0, t = STIFF["van der Pol"]
    wanted = flashode.odeint(field, torch.tensor(y0, dtype=D), t[:200], method="radauIIA5")
    solution = flashode.odeint(field, torch.tensor(y0), t[:200], method="radauIIA5")
    assert solution.dtype == torch.float32
    torch.testing.assert_close(solution.to(D), wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("perturb", [False, True], ids=["", "perturbed"])
@pytest.mark.parametrize("method", IMPLICIT)
def test_solutions_and_evaluations_are_the_eager_engine_s(method: str, perturb: bool) -> None:
    results = []
    for engine in ("native", "eager"):
        field = Coupled()
        with use_engine(engine), torch.no_grad():
            y = flashode.odeint(
                field,
                values(11, 2),
                torch.tensor([0.1, 0.4, 1.3], dtype=D),
                method=method,
                options={"step_size": 0.3, "perturb": perturb},
            )
        results.append((y, field.nfe))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=1e-13)
    assert results[0][1] == results[1][1]


@pytest.mark.parametrize("method", ["implicit_euler", "trapezoid", "radauIIA5"])
def test_a_jump_at_the_end_of_a_step_is_not_touched_when_perturbed(method: str) -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.5, 1.0, 100.0) + 0 * y

    y0, t = torch.zeros(3, 1, dtype=D), torch.tensor([0.0, 0.5], dtype=D)
    inside = flashode.odeint(field, y0, t, method=method, options={"perturb": True})[1]
    touching = flashode.odeint(field, y0, t, method=method)[1]
    torch.testing.assert_close(inside, torch.full_like(y0, 0.5))
    assert bool((touching > 1).all())


@pytest.mark.parametrize("perturb", [False, True], ids=["", "perturbed"])
@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
@pytest.mark.parametrize("batch", [(), (3,), (11,)], ids=str)
@pytest.mark.parametrize("method", IMPLICIT)
def test_gradcheck(method: str, batch: tuple[int, ...], direction: float, perturb: bool) -> None:
    field = Coupled()

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        options = {"step_size": 0.11, "perturb": perturb}
        return flashode.odeint(field, y0, t, method=method, options=options)

    y0 = values(*batch, 2, scale=0.3).requires_grad_()
    t = direction * torch.tensor([0.1, 0.35, 0.41, 0.8], dtype=D)
    whole = batch == (3,) and direction > 0 and method in ("radauIIA5", "sdirk2", "trbdf2")
    assert torch.autograd.gradcheck(solve, (y0, t.requires_grad_(), field.rate), fast_mode=not whole)


@pytest.mark.parametrize("method", IMPLICIT)
def test_gradients_of_a_stiff_problem(method: str) -> None:
    """Where the stages' own derivative matters most."""
    stiffness = torch.tensor(300.0, dtype=D, requires_grad=True)

    def solve(y0: Tensor, stiffness: Tensor) -> Any:
        def field(t: Tensor, y: Tensor) -> Tensor:
            x, speed = y[..., :1], y[..., 1:]
            return torch.cat([speed, stiffness * (1 - x**2) * speed - x], -1)

        return flashode.odeint(field, y0, torch.linspace(0, 4, 9, dtype=D), method=method)

    y0 = torch.tensor([[2.0, 0.0], [1.7, -0.1]], dtype=D, requires_grad=True)
    assert torch.autograd.gradcheck(solve, (y0, stiffness), eps=1e-7, atol=1e-5, rtol=1e-4)


class Decaying(Counting):
    """Each trajectory has a rate of its own, which the engine carries along."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = nn.Parameter(values(5, 2, seed=3).abs())

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return -self.rates * y**3 + y.flip(-1)


@pytest.mark.parametrize("method", ["trapezoid", "sdirk2", "gl4", "radauIIA5"])
def test_constants_of_trajectories_are_no_unknowns(method: str) -> None:
    field = Decaying()

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y0, t, method=method)

    y0, t = values(5, 2), torch.tensor([0.0, 0.3, 0.7], dtype=D)
    assert torch.autograd.gradcheck(solve, (y0.requires_grad_(), t.requires_grad_(), field.rates))
    with use_engine("eager"):
        wanted = solve(y0, t)
    torch.testing.assert_close(solve(y0, t), wanted, rtol=1e-12, atol=1e-13)


# Several groups of tiles, and an evaluation at the end of each interval.
@pytest.mark.parametrize(("batch", "interp"), [(11, "linear"), (70, "cubic")])
@pytest.mark.parametrize("method", IMPLICIT)
def test_continuous_adjoint_is_the_eager_engine_s(method: str, batch: int, interp: str) -> None:
    results = []
    for engine in ("native", "eager"):
        field = Network()
        y0 = values(batch, 3).requires_grad_()
        t = torch.tensor([0.1, 0.4, 0.9], dtype=D, requires_grad=True)
        with use_engine(engine):
            options = {"step_size": 0.2, "interp": interp}
            y = flashode.odeint_adjoint(field, y0, t, method=method, options=options)
            weights = torch.linspace(-1, 1, y.numel(), dtype=D).view_as(y)
            results.append(torch.autograd.grad((weights * y).sum(), (y0, t, *field.parameters())))
    for native, eager in zip(*results, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-11)


def _adjoint_difference(method: str, size: float) -> float:
    """Between gradients of the discrete solve and those of the adjoint equations."""
    gradients = []
    for solve in (flashode.odeint, flashode.odeint_adjoint):
        field, y0 = Decaying(), values(5, 2).requires_grad_()
        t = torch.tensor([0.0, 0.2, 0.4], dtype=D)
        y = solve(field, y0, t, method=method, options={"step_size": size})
        gradients.append(torch.autograd.grad(y.square().sum(), (y0, field.rates)))
    return max(float((a - b).abs().max()) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("method", ["implicit_midpoint", "gl4", "gl6"])
def test_both_adjoints_of_gauss_methods_are_the_same(method: str) -> None:
    """They preserve the pairing of a variation with its adjoint, and step back on their own steps."""
    assert _adjoint_difference(method, 0.1) < 1e-12


@pytest.mark.parametrize(
    "method", ["implicit_euler", "trapezoid", "radauIIA3", "radauIIA5", "sdirk2", "trbdf2"]
)
def test_continuous_adjoint_approaches_the_discrete_one(method: str) -> None:
    coarse, fine = _adjoint_difference(method, 0.05), _adjoint_difference(method, 0.025)
    assert coarse / fine > 2 ** (TABLEAUX[method].order - 0.4)


def test_equations_that_are_not_solved_warn_once() -> None:
    t = torch.tensor([0.0, 0.0, 0.4, 0.9], dtype=D)[1:]
    y0 = torch.tensor([[1.0], [2.0]], dtype=D)
    with pytest.warns(flashode.ConvergenceWarning, match=r"implicit_euler.*max_iters = 1 .*t = 0;") as caught:
        flashode.odeint(lambda t, y: -(y**3), y0, t, method="implicit_euler", options={"max_iters": 1})
    assert len(caught) == 1


def test_equations_without_a_solution_warn() -> None:
    """The step of size 1 from y = 1 would have to obey k = 1 + (1 + k)^2."""
    with pytest.warns(flashode.ConvergenceWarning):
        flashode.odeint(
            lambda t, y: 1 + y**2,
            torch.ones(1, dtype=D),
            torch.tensor([0.0, 1.0], dtype=D),
            method="implicit_euler",
        )


def test_singular_equations_warn_and_keep_the_slope_at_the_start() -> None:
    with pytest.warns(flashode.ConvergenceWarning):
        solution = flashode.odeint(
            lambda t, y: 2 * y,
            torch.ones(1, dtype=D),
            torch.tensor([0.0, 0.5], dtype=D),
            method="implicit_euler",
        )
    assert solution[1].item() == 2.0


def test_values_that_are_not_finite_are_located() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(y > 3, torch.sqrt(3 - y), y)

    y0 = torch.tensor([[0.1], [2.9], [0.2]], dtype=D)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", flashode.ConvergenceWarning)
        with pytest.raises(flashode.NonFiniteError) as caught:
            flashode.odeint(field, y0, torch.linspace(0, 1, 5, dtype=D), method="trapezoid")
    assert caught.value.trajectory == (1,)


# Name: a field that is no number from some time or state on, the initial state, the output times. Jacobian
# and rates are no numbers at once, so that Newton's method has nothing to divide by.
UNDEFINED: dict[str, tuple[Any, Tensor, list[float]]] = {
    "beyond a time": (lambda t, y: -torch.sqrt(0.6 - t) * y, torch.ones(1), [0.0, 0.5, 0.8]),
    "below a state": (
        lambda t, y: -3 * torch.sqrt(y - 0.5),
        torch.linspace(0.7, 2, 20, dtype=D)[:, None],
        [0.0, 0.05, 0.2, 0.9, 1.5],
    ),
    "where it overflows": (
        lambda t, y: -torch.exp(800 * (t - 0.3)) * y,
        torch.tensor([[1e-40], [1e-60]], dtype=D),
        [0.75, 1.3],
    ),
}


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
@pytest.mark.parametrize("problem", list(UNDEFINED))
@pytest.mark.parametrize("method", IMPLICIT)
def test_rates_that_are_no_numbers_stop_the_solve_where_the_eager_engine_stops(
    method: str, problem: str
) -> None:
    field, y0, times = UNDEFINED[problem]
    errors = []
    for engine in ("native", "eager"):
        with use_engine(engine), pytest.raises(flashode.NonFiniteError) as caught:
            flashode.odeint(field, y0, torch.tensor(times, dtype=y0.dtype), method=method)
        errors.append(caught.value)
    native, eager = errors
    assert native.t == eager.t
    assert native.origin == eager.origin == "field"
    torch.testing.assert_close(native.partial, eager.partial, rtol=1e-6, atol=1e-12)
