"""Solves within what `torch.compile` makes, and compiled fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

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
    actual = compiled(y0)
    actual.backward()
    own = net.layer.weight.grad.clone()
    net.zero_grad()
    expected = loss(y0)
    expected.backward()
    assert torch.equal(actual, expected)
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


# Of few steps: dynamo follows each of them where plain torch takes them.
COARSE: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-3}
STEPS: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "odeint": lambda net, y: flashode.odeint(net, y, T, **COARSE)[-1],
    "odeint_adjoint": lambda net, y: flashode.odeint_adjoint(net, y, T, **COARSE)[-1],
    "odeint_event": lambda net, y: torch.hstack(
        [x.reshape(-1) for x in flashode.odeint_event(net, y, T[0], event_fn=falling, **COARSE)]
    ),
    "odeint_event by the adjoint": lambda net, y: torch.hstack(
        [
            x.reshape(-1)
            for x in flashode.odeint_event(
                net, y, T[0], event_fn=falling, odeint_interface=flashode.odeint_adjoint, **COARSE
            )
        ]
    ),
    "the adjoint's event": lambda net, y: flashode.odeint_adjoint(net, y, T[:2], event_fn=falling, **COARSE)[
        0
    ],
    "odeint_dense": lambda net, y: flashode.odeint_dense(net, y, 0.0, 1.0, **COARSE)(0.3),
}


def falling(t: Tensor, y: Tensor) -> Tensor:
    return y.sum() - 100 * t + 20


# Torch's own: of the first thing that dynamo meets, and of any tensor with a graph between two of its frames.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated:DeprecationWarning")
@pytest.mark.parametrize("by_dynamo", [False, True], ids=["autograd", "compiled autograd"])
@pytest.mark.parametrize("name", STEPS)
def test_a_compiled_training_step_warns_of_nothing(engine: str, name: str, by_dynamo: bool) -> None:
    """Dynamo looks at neither the solve nor its reverse pass, captured before or not."""
    import torch._dynamo.config

    torch.manual_seed(0)
    net, y0 = Net(), torch.randn(4, 3)
    STEPS[name](net, y0)  # captured
    gradients = []

    def step() -> None:
        net.zero_grad()
        STEPS[name](net, y0).square().mean().backward()

    with torch._dynamo.config.patch(compiled_autograd=by_dynamo):
        for run in (step, torch.compile(step, backend="eager")):
            run()
            gradients.append(net.layer.weight.grad.clone())
    # Compiled autograd sums in another order.
    torch.testing.assert_close(*gradients, rtol=1e-5 if by_dynamo else 0, atol=1e-7 if by_dynamo else 0)


def test_signatures_are_those_of_the_functions() -> None:
    assert list(inspect.signature(flashode.odeint).parameters)[:3] == ["func", "y0", "t"]
    assert "event_fn" in inspect.signature(flashode.odeint_event).parameters
    assert flashode.odeint.__name__ == "odeint"
