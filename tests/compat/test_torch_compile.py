"""Solves within what `torch.compile` makes, and compiled fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import capture

T = torch.linspace(0.0, 1.0, 4)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y)) * torch.cos(t)


@pytest.mark.filterwarnings("ignore")  # of what dynamo itself does
@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_a_compiled_loss_is_the_same(solve: Callable[..., Tensor], captured: bool) -> None:
    torch.manual_seed(0)
    net, y0 = Net(), torch.randn(4, 3)
    if not captured:
        capture._cache.clear()

    def loss(y: Tensor) -> Tensor:
        return solve(net, 1.5 * y, T).square().mean() * 2

    if captured:
        loss(y0)
    compiled = torch.compile(loss, backend="eager")
    found = compiled(y0)
    found.backward()
    own = net.layer.weight.grad.clone()
    net.zero_grad()
    expected = loss(y0)
    expected.backward()
    assert torch.equal(found, expected)
    assert torch.equal(own, net.layer.weight.grad)


@pytest.mark.filterwarnings("ignore")  # of what dynamo itself does
def test_a_compiled_training_step_is_the_same() -> None:
    nets = []
    for compiled in (False, True):
        torch.manual_seed(0)
        net, y0 = Net(), torch.randn(4, 3)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

        def step(net: Net = net, optimizer: torch.optim.SGD = optimizer, y0: Tensor = y0) -> None:
            optimizer.zero_grad()
            flashode.odeint(net, y0, T).square().mean().backward()
            optimizer.step()

        run = torch.compile(step, backend="eager") if compiled else step
        for _ in range(3):
            run()
        nets.append(net)
    assert torch.equal(nets[0].layer.weight, nets[1].layer.weight)


def test_signatures_are_those_of_the_functions() -> None:
    assert list(inspect.signature(flashode.odeint).parameters)[:3] == ["func", "y0", "t"]
    assert "event_fn" in inspect.signature(flashode.odeint_event).parameters
    assert flashode.odeint.__name__ == "odeint"
