"""Adams methods beyond what is compared with torchdiffeq over all cases."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from flashode import ConvergenceWarning, NonFiniteError, odeint, use_engine
from problems import Network, values

T = torch.linspace(0, 1, 12, dtype=torch.float64)
METHODS = ["explicit_adams", "implicit_adams"]


def field(t: Tensor, y: Tensor) -> Tensor:
    return torch.sin(3 * t) - y**3


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6, 1e-8, 1e-12])
@pytest.mark.parametrize("max_iters", [1, 2, 4, 20])
def test_warns_where_torchdiffeq_does_but_once(tolerance: float, max_iters: int) -> None:
    arguments = {
        "method": "implicit_adams",
        "rtol": tolerance,
        "atol": tolerance,
        "options": {"max_iters": max_iters},
    }
    with warnings.catch_warnings(record=True) as theirs:
        warnings.simplefilter("always")
        expected = torchdiffeq.odeint(field, values(3), T, **arguments)
    with use_engine("eager"), warnings.catch_warnings(record=True) as ours:
        warnings.simplefilter("always")
        solution = odeint(field, values(3), T, **arguments)
    torch.testing.assert_close(solution, expected, rtol=1e-12, atol=1e-12)
    assert [w.category for w in ours] == [ConvergenceWarning] * bool(theirs)


def test_warning_says_where_and_what_to_try() -> None:
    options = {"max_iters": 1}
    with use_engine("eager"), pytest.warns(ConvergenceWarning) as caught:
        odeint(
            Network(), values(2, 3), T.flip(0), method="fixed_adams", rtol=1e-9, atol=1e-9, options=options
        )
    message = str(caught[0].message)
    assert len(caught) == 1
    assert message.startswith("implicit_adams: ")
    # The third step is the first that is not taken by the 3/8 rule.
    assert f"max_iters = 1 iterations, first at t = {float(T[-3]):.9g};" in message
    assert "rtol and atol" in message


@pytest.mark.parametrize("method", ["implicit_adams", "gl4"])
def test_one_warning_of_a_solve_that_fails(method: str) -> None:
    """Which steps again to say where."""

    def until_then(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.9, -y * y, math.nan)

    options = {"max_iters": 1}
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    with use_engine("eager"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(NonFiniteError):
            odeint(until_then, values(3), t, method=method, rtol=1e-9, atol=1e-9, options=options)
    assert [w.category for w in caught] == [ConvergenceWarning]


@pytest.mark.parametrize("method", METHODS)
def test_second_derivatives(method: str) -> None:
    def solve(y0: Tensor, t: Tensor) -> Tensor:
        return odeint(field, y0, t, method=method, rtol=1e-12, atol=1e-12, options={"max_iters": 50})

    t = torch.tensor([0.1, 0.2, 0.25, 0.4, 0.5], dtype=torch.float64, requires_grad=True)
    with use_engine("eager"):
        assert torch.autograd.gradgradcheck(solve, (values(2).requires_grad_(), t))


@pytest.mark.parametrize("method", METHODS)
def test_low_orders_reduce_to_the_start(method: str) -> None:
    with use_engine("eager"), torch.no_grad():
        expected = odeint(Network(), values(2, 3), T, method="rk4")
        for order in (1, 2, 3):
            with pytest.warns(UserWarning, match="max_order.*below 4.*rk4"):
                solution = odeint(Network(), values(2, 3), T, method=method, options={"max_order": order})
            assert torch.equal(solution, expected)


def test_a_field_that_is_not_finite_raises_and_does_not_warn() -> None:
    def poisoned(t: Tensor, y: Tensor) -> Tensor:
        return torch.log(0.5 - t) * y

    with use_engine("eager"), pytest.raises(NonFiniteError):
        odeint(poisoned, values(3), T, method="implicit_adams", rtol=1e-2, atol=1e-2)


def _pendulum(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[1], -torch.sin(y[0])])


def _single_precision_error(library: ModuleType, method: str, order: int, size: float) -> float:
    """The distance of a single-precision solution from the double-precision one of the same method."""
    options = {"step_size": size, "max_order": order}
    ends = [
        solver(
            _pendulum,
            torch.tensor([1.0, 0.3], dtype=dtype),
            torch.tensor([0.0, 1.25], dtype=dtype),
            method=method,
            options=options,
        )[-1].double()
        for solver, dtype in ((library.odeint, torch.float32), (flashode.odeint, torch.float64))
    ]
    return float((ends[0] - ends[1]).abs().max())


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning", "ignore:Functional iteration")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("order", "size"), [(8, 0.01), (9, 0.01), (10, 0.005), (11, 0.0025), (12, 0.0025)])
def test_weights_in_single_precision(order: int, size: float, method: str) -> None:
    """The weights of many slopes are large and cancel: rounded themselves they would cost two digits."""
    with use_engine("eager"):
        ours = _single_precision_error(flashode, method, order, size)
    assert ours < 8e-7
    theirs = _single_precision_error(torchdiffeq, method, order, size)
    # One rounding of the state is the difference that chance makes.
    assert ours <= theirs + 2.5e-7


def _growth(t: Tensor, y: Tensor) -> Tensor:
    return y * (1 + 0.3 * torch.cos(3 * t))


def _forced(t: Tensor, y: Tensor) -> Tensor:
    return torch.cos(5 * t) - 0.5 * y


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
@pytest.mark.parametrize("field", [_pendulum, _growth, _forced])
@pytest.mark.parametrize("order", [4, 8, 12])
@pytest.mark.parametrize("method", METHODS)
def test_rounding_does_not_pile_up(
    method: str, order: int, field: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """What one step's rounding takes off the next adds: of 250 steps the last rounding is left."""
    start, end, double = (
        flashode.odeint(
            field,
            torch.tensor([1.0, 0.3], dtype=dtype),
            torch.tensor([0.0, 0.625], dtype=dtype),
            method=method,
            options={"step_size": 0.0025, "max_order": order},
        )[i]
        for dtype, i in ((torch.float32, 0), (torch.float32, 1), (torch.float64, 1))
    )
    assert start.dtype == end.dtype == torch.float32
    assert (end - double).abs().max() < torch.finfo(torch.float32).eps * double.abs().max()
