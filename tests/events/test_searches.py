"""odeint with event_fn: what counts as an event, where the search ends, and what it says when it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from flashode import METHODS, MaxStepsExceeded, NonFiniteError, SolverError, odeint, odeint_adjoint
from flashode.methods import SciPy
from problems import Counting, Spiral

T = torch.tensor([0.0, 1.0], dtype=torch.float64)
Y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
SEARCHING = [name for name, method in METHODS.items() if not isinstance(method, SciPy)]


def options_of(method: str, step_size: float = 0.02) -> dict[str, Any]:
    if METHODS[method].control == "error":
        return {}
    # Explicit Adams methods of high order want steps far shorter than these.
    return {"step_size": step_size, **({"max_order": 4} if method == "explicit_adams" else {})}


class Turn(Counting):
    """y' = J y: from (1, 0), y = (cos t, sin t)."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return torch.stack([-y[..., 1], y[..., 0]], dim=-1)


EAST = torch.tensor([1.0, 0.0], dtype=torch.float64)


@pytest.mark.parametrize("method", SEARCHING)
def test_every_method_finds_a_known_event(engine: str, method: str) -> None:
    accuracy = 0.1 if method in ("euler", "implicit_euler") else 2e-3
    event_t, solution = odeint(
        Turn(),
        EAST,
        T,
        event_fn=lambda t, y: y[..., 0],
        method=method,
        options=options_of(method),
        rtol=1e-5,
        atol=1e-7,
    )
    assert event_t.shape == ()
    assert event_t.dtype == torch.float64
    assert solution.shape == (2, 2)
    assert torch.equal(solution[0], EAST)
    assert float(event_t) == pytest.approx(math.pi / 2, abs=accuracy)
    assert float(solution[1, 1]) == pytest.approx(1, abs=accuracy)
    # Bisection ends within atol of a zero of the interpolant.
    assert abs(float(solution[1, 0])) < 2e-7


@pytest.mark.parametrize("method", SEARCHING)
def test_an_event_at_the_start_ends_the_solve_there(engine: str, method: str) -> None:
    """Also where another output is far from zero, and for fixed-step methods."""
    for event in (lambda t, y: y[..., 1], lambda t, y: y - EAST, lambda t, y: torch.stack([t, 1 + t])):
        event_t, solution = odeint(Turn(), EAST, T, event_fn=event, method=method, options=options_of(method))
        assert float(event_t) == 0
        assert torch.equal(solution, torch.stack([EAST, EAST]))


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
def test_gradients_of_an_event_at_the_start(engine: str, method: str, solve: Callable[..., Any]) -> None:
    """The state there is the initial state."""
    y0, t = EAST.clone().requires_grad_(), T.clone().requires_grad_()
    func = Spiral()
    _, solution = solve(
        func, y0, t, event_fn=lambda t, y: y[..., 1], method=method, options=options_of(method)
    )
    by_state, by_time, by_weight = torch.autograd.grad(
        solution[1].sum(), (y0, t, func.linear.weight), allow_unused=True, materialize_grads=True
    )
    assert torch.equal(by_state, torch.ones(2, dtype=torch.float64))
    assert torch.equal(by_time, torch.zeros(2, dtype=torch.float64))
    assert not by_weight.any()


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_only_the_start_and_the_direction_of_t_count(engine: str, method: str) -> None:
    results = []
    for end in (1.0, 1e-3, 50.0):
        t = torch.tensor([0.0, end], dtype=torch.float64)
        event_t, _ = odeint(
            Turn(), EAST, t, event_fn=lambda t, y: y[..., 0], method=method, options=options_of(method)
        )
        results.append(float(event_t))
    assert len(set(results)) == 1
    backwards = torch.tensor([0.0, -1.0], dtype=torch.float64)
    event_t, _ = odeint(
        Turn(), EAST, backwards, event_fn=lambda t, y: y[..., 0], method=method, options=options_of(method)
    )
    assert float(event_t) == pytest.approx(-results[0], abs=1e-8)


@pytest.mark.parametrize("event", [lambda t, y: y[..., 0] > 0, lambda t, y: torch.sign(y[..., 0]).int()])
def test_events_that_only_say_which_side(event: Callable[..., Tensor]) -> None:
    """Booleans and integers have a sign, or are zero, as numbers have."""
    from flashode import use_engine

    with use_engine("eager"):
        event_t, _ = odeint(Turn(), EAST, T, event_fn=event)
    assert float(event_t) == pytest.approx(math.pi / 2, abs=1e-6)


def test_the_least_of_the_tolerances_bounds_the_search(engine: str) -> None:
    atol = torch.tensor([1e-3, 1e-10], dtype=torch.float64)
    _, solution = odeint(Turn(), EAST, T, event_fn=lambda t, y: y[..., 0], atol=atol)
    assert abs(float(solution[1, 0])) < 1e-9


def test_zero_tolerance_ends_where_numbers_do(engine: str) -> None:
    _, solution = odeint(Turn(), EAST, T, event_fn=lambda t, y: y[..., 0], rtol=1e-6, atol=0.0)
    assert abs(float(solution[1, 0])) < 1e-14


def never(t: Tensor, y: Tensor) -> Tensor:
    return (y * y).sum() + 1


@pytest.mark.parametrize(
    ("method", "options", "advice", "sign"),
    [
        ("dopri5", {"max_num_steps": 20}, r"options=\{'max_num_steps': \.\.\.\}", 1),
        ("dopri5", {"max_num_steps": 20}, r"options=\{'max_num_steps': \.\.\.\}", -1),
        ("euler", {"step_size": 1e-6}, "a larger step_size", -1),
    ],
)
def test_an_event_that_never_comes(
    engine: str, method: str, options: dict[str, Any], advice: str, sign: int
) -> None:
    with pytest.raises(MaxStepsExceeded, match=r"event_fn kept its sign from t = 0\.5 to t = ") as raised:
        odeint(Turn(), EAST, 0.5 + sign * T, event_fn=never, method=method, options=options)
    error = raised.value
    assert raised.match(advice)
    assert error.t is not None
    assert (error.t - 0.5) * sign > 0
    assert f"to t = {error.t:.9g}" in str(error)
    assert error.times is not None
    assert error.times.tolist() == [0.5]
    assert isinstance(error.partial, Tensor)
    assert torch.equal(error.partial, EAST[None])
    assert error.statistics is not None
    assert error.statistics.accepted + error.statistics.rejected == (20 if method == "dopri5" else 20000)


def test_a_state_that_runs_away_before_the_event(engine: str) -> None:
    """y' = y**2 from 1 is infinite at t = 1."""
    with pytest.raises(SolverError, match="event_fn kept its sign from t = 0 to there"):
        odeint(lambda t, y: y * y, torch.ones(1), torch.tensor([0.0, 1.0]), event_fn=lambda t, y: y + 1)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_an_event_function_that_returns_nan(engine: str, method: str) -> None:
    def event(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.5, y[..., 0].sum(), y[..., 0].sum() * math.nan)

    with pytest.raises(NonFiniteError, match="event_fn returned NaN at t = ") as raised:
        odeint(Turn(), EAST, T, event_fn=event, method=method, options=options_of(method))
    assert raised.value.origin == "event"
    assert raised.value.t is not None
    assert 0.5 <= raised.value.t < 1.6
    with pytest.raises(NonFiniteError, match=r"event_fn returned NaN at t = 1$"):
        odeint(Turn(), EAST, T + 1, event_fn=event, method=method, options=options_of(method))


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_the_field_is_blamed_for_its_nan(engine: str, method: str) -> None:
    """Although the event function, which is given it, returns NaN as well."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t > 0.5, y * math.nan, y * 0 + 1)

    with pytest.raises(NonFiniteError, match="func returned a value that is not finite at t = 0") as raised:
        odeint(field, EAST, T, event_fn=lambda t, y: y[..., 0] - 9, method=method, options=options_of(method))
    assert raised.value.origin == "field"


@pytest.mark.needs("event that reads numbers")
def test_errors_of_the_event_function_come_through(engine: str) -> None:
    def event(t: Tensor, y: Tensor) -> Tensor:
        if float(t) > 0.3:
            raise KeyError("too late")
        return y[..., 0]

    with pytest.raises(KeyError, match="too late"):
        odeint(Turn(), EAST, T, event_fn=event)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"t": torch.linspace(0, 1, 3)}, ValueError, "t must hold two times where event_fn is given"),
        ({"t": torch.zeros(1)}, ValueError, "t must hold two times where event_fn is given"),
        ({"method": "rk4"}, ValueError, r"event_fn needs options=\{'step_size': \.\.\.\} for method 'rk4'"),
        (
            {"method": "rk4", "options": {"grid_constructor": lambda f, y, t: t}},
            ValueError,
            r"event_fn needs options=\{'step_size': \.\.\.\} for method 'rk4'",
        ),
        ({"method": "scipy_solver"}, ValueError, "event_fn must be None for method 'scipy_solver'"),
        ({"event_fn": 0.5}, TypeError, r"event_fn must be a callable of \(t, y\) or None, got float"),
        ({"event_fn": lambda t, y: 1.0}, TypeError, "event_fn must return a tensor, got float"),
        (
            {"event_fn": lambda t, y: y[:0]},
            ValueError,
            r"event_fn must return at least one number, got shape \(0,\)",
        ),
        (
            {"event_fn": lambda t, y: y * 1j},
            TypeError,
            "event_fn must return a real tensor, got torch.complex128",
        ),
    ],
)
@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
def test_bad_arguments(
    solve: Callable[..., Any], arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    keywords = {"t": T, "event_fn": never, **arguments}
    with pytest.raises(error, match=message):
        solve(Turn(), EAST, keywords.pop("t"), **keywords)
