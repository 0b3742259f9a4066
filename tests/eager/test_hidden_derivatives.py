"""Implicit methods on fields whose dependence on y autograd cannot see, and on fields that have none."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode import METHODS, ConvergenceWarning, NonFiniteError, odeint, odeint_adjoint, use_engine

D = torch.float64
T = torch.linspace(0, 4, 3, dtype=D)
IMPLICIT = [name for name, method in METHODS.items() if method.equations != "none"]
Field = Callable[[Tensor, Any], Any]


def _without_grad(t: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        return -900 * y


def _partly(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack([-900 * y[0].detach(), -y[1]])


def _with_parameter(t: Tensor, y: Tensor) -> Tensor:
    return -900 * torch.ones((), dtype=D, requires_grad=True) * y.detach()


HIDDEN: dict[str, Field] = {
    "numpy": lambda t, y: torch.from_numpy(-900 * y.detach().numpy()),
    "detach": lambda t, y: -900 * y.detach(),
    "data": lambda t, y: -900 * y.data + t,
    "item": lambda t, y: torch.tensor([-900 * y[0].item(), -900 * y[1].item()], dtype=D),
    "no_grad": _without_grad,
    "one element": _partly,
    "with a parameter": _with_parameter,
    "squares": lambda t, y: -900 * y.detach() ** 2 + 1,
}
# Without a dependence, or with one that autograd sees.
SEEN: dict[str, tuple[Field, Field]] = {
    "a constant": (lambda t, y: torch.ones(2, dtype=D), lambda t, y: y * 0 + 1),
    "a function of time": (lambda t, y: torch.cos(t).expand(2), lambda t, y: y * 0 + torch.cos(t)),
    "a constant of numpy": (
        lambda t, y: torch.from_numpy(0.5 * torch.ones(2, dtype=D).numpy()),
        lambda t, y: y * 0 + 0.5,
    ),
}


def solve(field: Field, method: str, y0: Any = None, **options: Any) -> Any:
    start = torch.tensor([1.0, 0.5], dtype=D) if y0 is None else y0
    return odeint(field, start, T, method=method, options={"step_size": 0.1, **options})


def heard(run: Callable[[], Any]) -> list[str]:
    """What is said of a solve: the warnings that are ours, and the error."""
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            run()
        except NonFiniteError as error:
            said.append(str(error))
    return said + [str(warning.message) for warning in caught if warning.category is ConvergenceWarning]


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("method", IMPLICIT)
def test_hidden(method: str, name: str) -> None:
    with use_engine("eager"):
        said = heard(lambda: solve(HIDDEN[name], method))
    assert said
    for words in said:
        assert "what func returns changes with y, but autograd sees no derivative of it in y" in words
        assert "explicit method" in words
        assert "smaller steps" not in words


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_error(sign: float, engine: str) -> None:
    y0 = torch.ones(4, 2, dtype=D)
    with use_engine(engine), pytest.raises(NonFiniteError, match="autograd sees no derivative") as caught:
        odeint(
            lambda t, y: -sign * 50 * y.detach(),
            y0,
            sign * T,
            method="implicit_euler",
            options={"step_size": 0.1},
        )
    assert caught.value.t is not None and 0 < sign * caught.value.t < 1
    assert torch.equal(caught.value.partial[0], y0)


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
def test_tuples() -> None:
    def field(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return -state[0], -50 * state[1].detach()

    with use_engine("eager"), pytest.raises(NonFiniteError, match="autograd sees no derivative"):
        solve(field, "implicit_euler", (torch.ones(2, dtype=D), torch.ones(1, dtype=D)))


def test_from_the_reverse_solve() -> None:
    weight = torch.tensor(50.0, dtype=D, requires_grad=True)
    y0 = torch.tensor([1.0, 0.5], dtype=D, requires_grad=True)
    with use_engine("eager"):
        states = odeint_adjoint(
            lambda t, y: torch.cos(t) * weight * y.detach(),
            y0,
            T,
            adjoint_params=(weight,),
            adjoint_method="implicit_euler",
            adjoint_options={"step_size": 0.1},
            method="dopri5",
        )
        said = heard(lambda: states[-1].sum().backward())
    assert said
    assert all("autograd sees no derivative" in words for words in said)


@pytest.mark.parametrize("engine", ["eager", "auto"])
@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("method", IMPLICIT)
def test_independent_of_the_state(method: str, name: str, engine: str) -> None:
    field, right = SEEN[name]
    with use_engine(engine), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        torch.testing.assert_close(solve(field, method), solve(right, method), rtol=1e-12, atol=1e-12)


FAILING: dict[str, Field] = {
    "zero derivative at the start": lambda t, y: 200 * y**2 + 1,
    "corners": lambda t, y: 90 * torch.relu(y) ** 2 + 1,
    "steps": lambda t, y: -50 * torch.sign(y - 0.3) + 0.01,
    "noise": lambda t, y: torch.rand(2, dtype=D),
}


@pytest.mark.parametrize("name", FAILING)
def test_other_failures(name: str) -> None:
    """What is said of equations without a solution in reach stays."""
    with use_engine("eager"):
        said = heard(lambda: solve(FAILING[name], "implicit_euler", torch.zeros(2, dtype=D)))
    assert said
    assert "smaller steps" in said[-1]
    assert not any("autograd" in words for words in said)


def test_field_that_is_not_finite() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t > 1.0, torch.inf, 1.0).expand(2)

    with use_engine("eager"), pytest.raises(NonFiniteError, match="func returned a value that is not finite"):
        solve(field, "implicit_euler")
