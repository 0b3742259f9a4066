"""Fields that ask whether gradients are recorded: what they do for both answers has to be the same."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from capture.agreement import D, Y, agrees, captured_at, declined, must_capture, true
from flashode.capture import Capture

TIMES = torch.linspace(0, 1, 4, dtype=D)


class Potential(nn.Module):
    """The force of a potential, as energy models write it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y if y.requires_grad else y.detach().requires_grad_()
            energy = torch.tanh(self.layer(x)).square().sum()
            (gradient,) = torch.autograd.grad(energy, x, create_graph=True)
        return -gradient


class Tracked(Potential):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if not y.requires_grad:
            y = y.requires_grad_()
        out: Tensor = self.layer(y)
        return out


class Owned(Potential):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        frozen = not self.layer.weight.requires_grad
        out: Tensor = self.layer(y)
        return out * 2 if frozen else out


@pytest.mark.parametrize("make", [Potential, Tracked, Owned])
def test_captured(make: Callable[[], nn.Module]) -> None:
    net = make().to(D)
    captured = must_capture(net, Y.to(D))
    agrees(net, captured, Y.to(D), list(net.parameters()))


def test_of_a_tensor_that_it_owns_it_is_watched() -> None:
    net = Owned()
    true(net)
    net.layer.requires_grad_(False)
    true(net)


@pytest.mark.parametrize("engine", ["native", "eager"])
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_solves_with_and_without_gradients(engine: str, solve: Any) -> None:
    torch.manual_seed(0)
    net, y0 = Potential().to(D), Y.to(D)
    results = []
    for chosen in (engine, "eager"):
        with flashode.use_engine(chosen):
            with torch.no_grad():
                results.append([solve(net, y0, TIMES)])
            start = y0.clone().requires_grad_()
            loss = solve(net, start, TIMES).square().sum()
            results[-1] += torch.autograd.grad(loss, [start, *net.parameters()])
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-9)


def test_what_differs_is_declined() -> None:
    def other_values(t: Tensor, y: Tensor) -> Tensor:
        return y if y.requires_grad else 2 * y

    def other_operations(t: Tensor, y: Tensor) -> Tensor:
        out = y.sin()
        return out if out.requires_grad else out + 0

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nfe, self.layer = 0, nn.Linear(3, 3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.layer(y)
            if out.requires_grad:
                self.nfe += 1
            return out

    for field in (other_values, other_operations):
        assert "asks for requires_grad" in declined(field)
    assert "unevenly" in declined(Counting())


def test_an_answer_that_hides_a_gradient() -> None:
    """Detached where nobody asks for gradients, and only there."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y.sin() * (y if y.requires_grad else y.detach())

    y = Y.to(D)
    captured = captured_at(field, torch.tensor(0.3, dtype=D), y)
    assert isinstance(captured, Capture)
    agrees(field, captured, y)
