"""Solves that SciPy runs."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import scipy.integrate
import torch
import torchdiffeq
from torch import Tensor

import flashode
from flashode import NonFiniteError, SolverError, odeint, odeint_adjoint
from problems import ComplexRotation, Counting, Network, Pair, values

# torchdiffeq hands min_step to solvers that do not know it, and SciPy tells.
pytestmark = pytest.mark.filterwarnings("ignore:The following arguments have no effect")

T = torch.linspace(0.1, 2, 5, dtype=torch.float64)


def arguments(solver: str, **options: Any) -> dict[str, Any]:
    return {"method": "scipy_solver", "rtol": 1e-6, "atol": 1e-8, "options": {"solver": solver, **options}}


@pytest.fixture(autouse=True)
def eagerly() -> Any:
    with flashode.use_engine("eager"):
        yield


@pytest.mark.parametrize("solver", ["RK45", "DOP853", "Radau"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_same_as_torchdiffeq(solver: str, reverse: bool, dtype: torch.dtype) -> None:
    t = T.flip(0) if reverse else T
    for make, y0 in (
        (Network, values(2, 3).to(dtype)),
        (Pair, (values(2, 3).to(dtype), values(2, 1).to(dtype))),
    ):
        ours: Counting = make(dtype=dtype)
        theirs: Counting = make(dtype=dtype)
        solution = odeint(ours, y0, t, **arguments(solver))
        expected = torchdiffeq.odeint(theirs, y0, t, **arguments(solver))
        for x, y in zip(*(s if isinstance(s, tuple) else (s,) for s in (solution, expected)), strict=True):
            assert x.dtype == dtype
            assert not x.requires_grad
            torch.testing.assert_close(x, y)
        assert ours.nfe == theirs.nfe


def test_time_keeps_its_precision() -> None:
    """torchdiffeq rounds LSODA's times to single precision."""
    t = torch.tensor([1000.0, 1001.0], dtype=torch.float64)
    y0 = torch.zeros(1, dtype=torch.float64)
    y = odeint(lambda t, y: torch.cos(t).expand(1), y0, t, method="scipy_solver", rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(y[-1, 0], torch.sin(t[1]) - torch.sin(t[0]), rtol=0, atol=1e-8)


def test_complex_state() -> None:
    y0 = torch.complex(values(3), values(3, seed=1))
    solution = odeint(ComplexRotation(), y0, T, **arguments("RK45"))
    exact = y0 * torch.exp(torch.complex(-0.2 * (T - T[0]), 1.3 * (T - T[0])))[:, None]
    torch.testing.assert_close(solution, exact, rtol=1e-4, atol=1e-5)


def test_tolerance_of_each_element() -> None:
    loose = odeint(Network(), values(2, 3), T, **arguments("RK45"))
    one = {**arguments("RK45"), "rtol": torch.full((3,), 1e-6), "atol": torch.full((2, 1), 1e-8)}
    torch.testing.assert_close(odeint(Network(), values(2, 3), T, **one), loose, rtol=1e-6, atol=1e-8)


def test_one_time() -> None:
    y0 = values(2, 3)
    assert torch.equal(odeint(Network(), y0, T[:1], method="scipy_solver"), y0[None])


@pytest.mark.parametrize("adjoint", [{}, {"adjoint_method": "dopri5", "adjoint_options": {}}])
def test_adjoint(adjoint: dict[str, Any]) -> None:
    results = []
    for settings in ({**arguments("RK45"), **adjoint}, {"method": "dopri5", "rtol": 1e-8, "atol": 1e-8}):
        func = Network()
        odeint_adjoint(func, values(2, 3), T, **settings).square().sum().backward()
        results.append([p.grad for p in func.parameters()])
    for x, y in zip(*results, strict=True):
        assert x is not None
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"min_step": 1e-3}], ids=str)
def test_min_step_is_handed_over_when_given(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, float]
) -> None:
    solve = scipy.integrate.solve_ivp
    seen = []

    def spied(*args: Any, **named: Any) -> Any:
        seen.append({name: value for name, value in named.items() if name == "min_step"})
        return solve(*args, **named)

    monkeypatch.setattr("scipy.integrate.solve_ivp", spied)
    odeint(Network(), values(2, 3), T, **arguments("LSODA", **options))
    assert seen == [options]


def test_a_solve_that_fails_says_what_it_reached() -> None:
    def explodes(t: Tensor, y: Tensor) -> Tensor:
        return 1 + y * y

    t = torch.linspace(0, 2, 5, dtype=torch.float64)
    with pytest.raises(
        SolverError, match=r"RK45 reached 4 of 5 output times, the last of them t = 1\.5"
    ) as caught:
        odeint(explodes, torch.zeros(1, dtype=torch.float64), t, **arguments("RK45"))
    error = caught.value
    assert error.times is not None
    assert isinstance(error.partial, Tensor)
    assert torch.equal(error.times, t[:4])
    torch.testing.assert_close(error.partial[:, 0], torch.tan(t[:4]), rtol=1e-4, atol=1e-4)
    assert error.statistics is not None
    assert error.statistics.evaluations > 0


def test_a_state_that_is_not_finite() -> None:
    y0 = torch.full((2,), torch.nan, dtype=torch.float64)
    with pytest.raises((NonFiniteError, SolverError, ValueError)):
        odeint(lambda t, y: -y, y0, T, **arguments("RK45"))


def test_callbacks_are_not_called_and_that_is_said() -> None:
    func = Network()
    func.callback_step = lambda t0, y0, dt: pytest.fail("called")  # type: ignore[assignment]
    with pytest.warns(UserWarning, match="run by SciPy and does not call callback_step"):
        odeint(func, values(2, 3), T, **arguments("RK45"))


def test_says_that_scipy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.integrate", None)
    with pytest.raises(ImportError, match="'scipy_solver' needs SciPy: pip install scipy"):
        odeint(Network(), values(2, 3), T, **arguments("RK45"))
