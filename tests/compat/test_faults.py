"""Faults of torchdiffeq that are not copied: what it does, and what flashode does instead."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from compat.cases import values
from flashode import (
    METHODS,
    NonFiniteError,
    odeint,
    odeint_adjoint,
    odeint_dense,
    use_engine,
)
from problems import ANALYTIC, ComplexRotation, Network, Pair

D = torch.float64
T = torch.linspace(0, 1, 3, dtype=D)
ONES = torch.ones(2, dtype=D)


class Noting(torch.nn.Module):
    """cos(t) - y, noting the times of its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []
        self.scale = torch.nn.Parameter(torch.ones((), dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.seen.append(float(t.detach()))
        return torch.cos(t) - self.scale * y

    def saw(self, t: float) -> bool:
        """Whether it was evaluated there."""
        return any(abs(x - t) < 1e-12 for x in self.seen)


@pytest.mark.parametrize(("method", "order", "counts"), [("tsit5", 5, (64, 96)), ("gl4", 4, (24, 32))])
def test_order(method: str, order: int, counts: tuple[int, int]) -> None:
    """Their later tsit5 goes on with the fourth-order solution; both abscissae of their gl4 are equal."""
    problem = ANALYTIC["whirl"]
    t = torch.tensor([0.0, 2.0], dtype=D)
    errors = []
    for count in counts:
        h = 2.0 / count
        options = {"step_size": h} if method == "gl4" else {"first_step": h, "min_step": h, "max_step": h}
        with use_engine("eager"), torch.no_grad():
            y = odeint(problem.field(), problem.y0, t, method=method, options=options, rtol=1e-13, atol=1e-14)
        errors.append(float((y[-1] - problem.solution(t)[-1]).norm()))
    assert math.log(errors[0] / errors[1]) / math.log(counts[1] / counts[0]) == pytest.approx(order, abs=0.15)


def test_abscissae_of_gl4() -> None:
    tableau = METHODS["gl4"]
    assert isinstance(tableau, flashode.methods.Tableau)
    assert tableau.floats().c == pytest.approx((0.5 - 3**0.5 / 6, 0.5 + 3**0.5 / 6), abs=1e-15)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_landing_exactly_on_a_step_t(sign: float) -> None:
    """Theirs takes no further step_t into account."""
    arguments = {
        "rtol": 1e-2,
        "atol": 1e-2,
        "options": {
            "first_step": 0.25,
            "max_step": 0.25,
            "step_t": sign * torch.tensor([0.25, 0.61, 0.83], dtype=D),
        },
    }
    t = sign * torch.tensor([0.0, 1.0], dtype=D)
    ours, theirs = Noting(), Noting()
    with use_engine("eager"):
        odeint(ours, ONES, t, **arguments)
    torchdiffeq.odeint(theirs, ONES, t, **arguments)
    assert ours.saw(sign * 0.25)
    assert theirs.saw(sign * 0.25)
    assert ours.saw(sign * 0.61)
    assert ours.saw(sign * 0.83)
    assert not theirs.saw(sign * 0.61)
    assert not theirs.saw(sign * 0.83)


def test_integer_states() -> None:
    y0 = torch.tensor([3, 4])
    theirs = torchdiffeq.odeint(lambda t, y: -y, y0, T, method="rk4")
    assert theirs.dtype == torch.int64
    with pytest.raises(TypeError, match="y0 must have a floating-point or complex dtype"):
        odeint(lambda t, y: -y, y0, T, method="rk4")


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_nan(engine: str, method: str) -> None:
    """Their message is of steps; their fixed-step methods return NaN."""

    def log(t: Tensor, y: Tensor) -> Tensor:
        return torch.log(0.25 - t) + 0 * y

    y0 = torch.zeros(2, 3, dtype=D)
    if method == "rk4":
        assert bool(torch.isnan(torchdiffeq.odeint(log, y0, T, method=method)).any())
    else:
        with pytest.raises(AssertionError, match="underflow in dt"):
            torchdiffeq.odeint(lambda t, y: math.nan * y, y0, T)
    with pytest.raises(NonFiniteError, match=r"func returned .* t = ") as caught:
        odeint(log if method == "rk4" else lambda t, y: math.nan * y, y0, T, method=method)
    assert caught.value.t is not None
    assert caught.value.origin == "field"
    assert caught.value.trajectory == (0,)


class Enough(Exception):
    """Raised by a function that was called too often."""


@pytest.mark.parametrize("method", ["euler", "rk4", "dopri5"])
@pytest.mark.parametrize("face", ["odeint", "odeint_event"])
def test_an_event_that_is_zero_at_the_start(method: str, face: str) -> None:
    """Their fixed-step methods go on without end, looking for another sign than none."""

    def solve(library: Any) -> Any:
        calls = 0

        def func(t: Tensor, y: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            if calls > 100:
                raise Enough
            return -y

        arguments = {
            "method": method,
            "event_fn": lambda t, y: y[0] - 1,
            "options": None if method == "dopri5" else {"step_size": 0.1},
        }
        if face == "odeint":
            return library.odeint(func, ONES, T[:2], **arguments)
        return library.odeint_event(func, ONES, T[0], **arguments)

    if method == "dopri5":
        solve(torchdiffeq)
    else:
        with pytest.raises(Enough):
            solve(torchdiffeq)
    with use_engine("eager"):
        event_t, y = solve(flashode)
    assert float(event_t) == 0
    assert torch.equal(y, torch.stack([ONES, ONES]))


def test_no_min_step_for_scipys_solvers_unless_given() -> None:
    """Theirs hands one to all of them, and those that know none warn."""
    arguments: dict[str, Any] = {"method": "scipy_solver", "options": {"solver": "RK45"}}
    with pytest.warns(UserWarning, match="no effect.*min_step"):
        torchdiffeq.odeint(Network(), values(3), T, **arguments)
    with use_engine("eager"), warnings.catch_warnings():
        warnings.simplefilter("error")
        odeint(Network(), values(3), T, **arguments)


def test_times_in_double_precision_for_scipys_solvers() -> None:
    """Theirs rounds the times that LSODA evaluates at to single precision."""
    ours, theirs = Noting(), Noting()
    with use_engine("eager"):
        odeint(ours, ONES, T, method="scipy_solver")
    torchdiffeq.odeint(theirs, ONES, T, method="scipy_solver")

    def single(seen: list[float]) -> bool:
        return all(float(torch.tensor(x, dtype=torch.float32)) == x for x in seen)

    assert single(theirs.seen)
    assert not single(ours.seen)


def test_tolerances_of_components_in_the_adjoint(engine: str) -> None:
    def gradient(library: Any) -> Tensor:
        func = Pair()
        y0 = (values(4, 3), values(4, 1))
        solution = library.odeint_adjoint(func, y0, T, rtol=(1e-8, 1e-8), atol=(1e-9, 1e-9))
        return torch.autograd.grad(solution[1].sum(), func.rate)[0]

    with pytest.raises(AssertionError, match="same length as the tuple y0"):
        gradient(torchdiffeq)
    func = Pair()
    exact = odeint(func, (values(4, 3), values(4, 1)), T, rtol=1e-10, atol=1e-12)
    (expected,) = torch.autograd.grad(exact[1].sum(), func.rate)
    torch.testing.assert_close(gradient(flashode), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["step_t", "jump_t"])
def test_prescribed_times_in_the_adjoint_of_decreasing_time(name: str) -> None:
    """Theirs looks for them on the other side of zero."""
    t = torch.tensor([1.0, 0.0], dtype=D)
    seen = []
    for library in (torchdiffeq, flashode):
        func = Noting()
        with use_engine("eager"):
            solution = library.odeint_adjoint(
                func, ONES, t, rtol=1e-3, atol=1e-3, options={name: torch.tensor([0.3], dtype=D)}
            )
            assert func.saw(0.3)
            func.seen.clear()
            solution.sum().backward()
        seen.append(func.saw(0.3))
    assert seen == [False, True]


def test_complex_states_in_the_adjoint(engine: str) -> None:
    """Theirs integrates the gradients of real parameters as complex numbers, which autograd refuses."""
    y0 = torch.complex(values(3), values(3).flip(0))

    def gradients(solve: Any) -> list[Tensor]:
        func = ComplexRotation()
        solution = solve(func, y0, T, rtol=1e-9, atol=1e-11)
        return list(torch.autograd.grad(solution[-1].real.sum(), list(func.parameters())))

    with pytest.raises(RuntimeError, match="isFloatingType"):
        gradients(torchdiffeq.odeint_adjoint)
    for actual, expected in zip(gradients(odeint_adjoint), gradients(odeint), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-7, atol=1e-9)


def test_event_times_of_complex_states() -> None:
    """Theirs multiplies by a gradient where its conjugate belongs."""
    rotation = torch.tensor(0.3 + 1.0j, dtype=torch.complex128)

    def event_t(library: Any, y0: Tensor) -> Tensor:
        solution: tuple[Tensor, Any] = library.odeint_event(
            lambda t, y: rotation * y,
            y0,
            torch.zeros((), dtype=D),
            event_fn=lambda t, y: y[0].real - 0.5,
            rtol=1e-10,
            atol=1e-12,
        )
        return solution[0]

    y0 = torch.tensor([1.0 + 0.2j], dtype=torch.complex128)
    step = 1e-5
    with use_engine("eager"):
        both = [event_t(flashode, y0 + sign * step) for sign in (1, -1)]
        slope = float(both[0] - both[1]) / (2 * step)
        y0.requires_grad_()
        (ours,) = torch.autograd.grad(event_t(flashode, y0), y0)
    (theirs,) = torch.autograd.grad(event_t(torchdiffeq, y0), y0)
    assert float(ours.real) == pytest.approx(slope, rel=1e-5)
    assert float(theirs.real) != pytest.approx(slope, rel=1e-2)


def test_dense_output_at_many_times_and_backwards(engine: str) -> None:
    """Theirs fails at a vector of times and in decreasing time."""
    y0 = torch.tensor([1.0, 2.0], dtype=D)
    times = torch.tensor([[0.1, 0.9], [0.5, 0.3]], dtype=D)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y

    with pytest.raises(IndexError):
        torchdiffeq.odeint_dense(field, y0, T[0], T[-1])(times.reshape(-1))
    with pytest.raises(IndexError):
        torchdiffeq.odeint_dense(field, y0, T[-1], T[0])(T[1])
    forward = odeint_dense(field, y0, T[0], T[-1])(times)
    torch.testing.assert_close(forward, y0 * torch.exp(-times[..., None]), rtol=1e-6, atol=1e-8)
    backward = odeint_dense(field, y0, T[-1], T[0])(times)
    torch.testing.assert_close(backward, y0 * torch.exp(1 - times[..., None]), rtol=1e-6, atol=1e-8)
