"""Branches of which one side only raises: captured without it, and left to PyTorch where it is called for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from capture.agreement import D, Y, agrees, declined, evaluated, must_capture, true
from capture.checking import (
    Asserting,
    Checked,
    Inverted,
    Message,
    Negated,
    OfTime,
    Raising,
    of_a_norm,
    of_a_number,
)

TIMES = torch.linspace(0, 1, 5, dtype=D)
Y0 = Y.to(D)


KINDS = [Asserting, Raising, Negated, OfTime, Inverted, Message]


@pytest.mark.parametrize("kind", KINDS)
def test_captured(kind: type[Checked]) -> None:
    net = kind().to(D)
    captured = must_capture(net, Y0)
    assert captured.partial
    agrees(net, captured, Y0, list(net.parameters()))


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
@pytest.mark.parametrize("kind", [Asserting, Raising, Negated, OfTime, Inverted])
@pytest.mark.parametrize("limit", [3.0, 0.5])
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_solves_end_as_in_pytorch(kind: type[Checked], limit: float, solve: Any) -> None:
    """With the exception of the function's, after as many evaluations, or with the same solution."""
    answers: list[Any] = []
    for engine in ("auto", "eager"):
        net = kind().to(D)
        net.limit = limit if kind is not OfTime else limit / 2
        y0 = Y0.clone().requires_grad_()
        with flashode.use_engine(engine):
            try:
                states = solve(net, y0, TIMES, method="rk4")
                gradients = torch.autograd.grad(states.square().sum(), [y0, net.rate])
                answers.append(([states, *gradients], net.nfe))
            except (AssertionError, ValueError) as error:
                answers.append((f"{type(error).__name__}: {error}", net.nfe))
    first, second = answers
    assert type(first[0]) is type(second[0])
    if isinstance(first[0], str):
        assert first == second
    else:
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


def test_one_trajectory_of_many() -> None:
    net = Asserting().to(D)
    net.limit = 50.0
    y0 = torch.ones(40, 3, dtype=D)
    with flashode.use_engine("native"):
        flashode.odeint(net, y0, TIMES)
        y0[17, 1] = 40.0
        with pytest.raises(AssertionError, match="too large"):
            flashode.odeint(net, y0, TIMES)


def test_a_limit_that_changes() -> None:
    net = Asserting()
    true(net)
    net.limit = 0.1
    with pytest.raises(AssertionError):
        net(torch.tensor(0.3), Y)
    declined(net)
    net.limit = 1e3
    true(net)


BRANCHES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "both sides return": lambda t, y: y if (y < 1e9).all() else -y,
    "exists": lambda t, y: y if (y.sum() > 0).any() else -y,
}


@pytest.mark.parametrize("name", BRANCHES)
def test_other_branches_are_declined(name: str) -> None:
    assert "torch.where" in declined(BRANCHES[name])


def test_sides_that_do_more_than_raise() -> None:
    log: list[int] = []

    def storing(t: Tensor, y: Tensor) -> Tensor:
        if (y > 1e9).any():
            log[0] = 1
            raise ValueError
        return y

    def returning(t: Tensor, y: Tensor) -> Tensor:
        if (y > 1e9).any():
            if t > 1:
                return -y
            raise ValueError
        return y

    def caught(t: Tensor, y: Tensor) -> Tensor:
        try:
            if (y > 1e9).any():
                raise ValueError
        except ValueError:
            return -y
        return y

    declined(storing)
    declined(returning)
    true(caught)  # where it raises, PyTorch solves


def test_conditions_of_all_trajectories_together() -> None:
    """That some element is small enough no trajectory knows of itself."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        if not (y.abs() < 1e9).any():
            raise ValueError("all are large")
        return -y

    for func in (field, of_a_norm):
        captured = must_capture(func)
        assert not captured.batched
        true(func)


def test_a_condition_whose_memory_is_written_to_later() -> None:
    limits = {"value": 1e9}

    def field(t: Tensor, y: Tensor) -> Tensor:
        large = y.abs() > limits["value"]
        if large.any():
            raise ValueError("too large")
        large.logical_not_()
        return y * large

    captured = must_capture(field)
    assert not evaluated(captured, torch.tensor(0.3), Y).isnan().any()
    assert evaluated(captured, torch.tensor(0.3), 1e10 * Y).isnan().any()


def test_conditions_that_are_no_truth_values() -> None:
    declined(of_a_number)
