"""Callbacks are called as torchdiffeq calls them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from compat.cases import values
from problems import Network, Pair

NAMES = ("callback_step", "callback_accept_step", "callback_reject_step")
T = torch.linspace(0, 2, 4, dtype=torch.float64)
# Steps are rejected: the first one is far too large.
OPTIONS: dict[str, dict[str, Any]] = {"dopri5": {"first_step": 1.5}, "rk4": {"step_size": 0.3}}


def record(func: Any, names: tuple[str, ...] = NAMES) -> list[tuple[str, Any, Any, Any]]:
    """Give the function callbacks that note their arguments."""
    calls: list[tuple[str, Any, Any, Any]] = []

    def noting(name: str) -> Callable[..., None]:
        return lambda t0, y0, dt: calls.append((name, t0.detach(), y0, dt.detach()))

    for name in names:
        setattr(func, name, noting(name))
    return calls


def same(actual: list[tuple[str, Any, Any, Any]], expected: list[tuple[str, Any, Any, Any]]) -> None:
    assert [call[0] for call in actual] == [call[0] for call in expected]
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours[1].dtype == theirs[1].dtype
        assert ours[1].shape == ours[3].shape == ()
        torch.testing.assert_close((ours[1], ours[3]), (theirs[1], theirs[3]), rtol=1e-6, atol=1e-12)
        torch.testing.assert_close(ours[2], theirs[2], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("method", OPTIONS)
@pytest.mark.parametrize("direction", ["increasing", "decreasing"])
@pytest.mark.parametrize("kind", ["tensor", "tuple"])
def test_forward(method: str, direction: str, kind: str) -> None:
    t = T if direction == "increasing" else T.flip(0)
    y0: Any = values(4, 3) if kind == "tensor" else (values(4, 3), values(4, 1))
    names = NAMES if method == "dopri5" else NAMES[:1]
    results = []
    for library in (torchdiffeq, flashode):
        func = Network() if kind == "tensor" else Pair()
        calls = record(func, names)
        with flashode.use_engine("eager"):
            library.odeint(func, y0, t, method=method, options=OPTIONS[method])
        results.append(calls)
    expected, actual = results
    same(actual, expected)
    assert {call[0] for call in actual} == set(names)
    assert all(call[3] > 0 for call in actual)
    assert float(actual[0][1]) == t[0]


@pytest.mark.parametrize("method", OPTIONS)
def test_adjoint(method: str) -> None:
    names = tuple(name + "_adjoint" for name in (NAMES if method == "dopri5" else NAMES[:1]))
    results = []
    for library in (torchdiffeq, flashode):
        func = Network()
        calls = record(func, names)
        with flashode.use_engine("eager"):
            solution = library.odeint_adjoint(func, values(4, 3), T, method=method, options=OPTIONS[method])
            assert calls == []
            solution.sum().backward()
        results.append(calls)
    expected, actual = results
    same(actual, expected)
    assert {call[0] for call in actual} == set(names)
    assert all(isinstance(call[2], tuple) and len(call[2]) == 7 for call in actual)


def test_adjoint_gets_the_users_time() -> None:
    """Of decreasing times torchdiffeq hands over the negative."""
    func = Network()
    calls = record(func, ("callback_step_adjoint",))
    with flashode.use_engine("eager"):
        flashode.odeint_adjoint(func, values(4, 3), T.flip(0)).sum().backward()
    times = [float(call[1]) for call in calls]
    assert min(times) == 0
    assert all(0 <= x <= 2 for x in times)
    assert all(call[3] > 0 for call in calls)


def test_unsupported_ones_warn() -> None:
    func = Network()
    calls = record(func)
    with (
        flashode.use_engine("eager"),
        pytest.warns(UserWarning, match="callback_accept_step, callback_reject_step"),
    ):
        flashode.odeint(func, values(4, 3), T, method="rk4")
    assert {call[0] for call in calls} == {"callback_step"}


def test_state_is_handed_over_with_its_graph_or_not() -> None:
    """A callback may look at the state; what it sees is on the graph that the solve is on."""
    func = Network()
    calls = record(func, ("callback_accept_step",))
    y0 = values(4, 3).requires_grad_()
    with flashode.use_engine("eager"):
        flashode.odeint(func, y0, T)
    assert isinstance(calls[0][2], Tensor)
    (gradient,) = torch.autograd.grad(calls[0][2].sum(), y0)
    assert torch.equal(gradient, torch.ones_like(y0))
    assert isinstance(calls[-1][2], Tensor)
    assert calls[-1][2].requires_grad
