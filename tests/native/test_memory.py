"""What crosses into the compiled module is checked to be there and to be what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

import flashode


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(2, 2)
        self.shift = nn.Parameter(torch.zeros(3, 2), requires_grad=False)  # a row for each trajectory

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.net(y)) + self.shift


SOLVES = [flashode.odeint, flashode.odeint_adjoint]
LOST = "memory|storage|bounds"


@pytest.fixture(autouse=True)
def native() -> Any:
    with flashode.use_engine("native"):
        yield


def given() -> tuple[Field, Tensor, Tensor]:
    torch.manual_seed(0)
    y0 = torch.randn(3, 2).requires_grad_()
    return Field(), y0, torch.linspace(0, 1, 4, dtype=torch.float64)


@pytest.mark.parametrize("left", [0, 4])
@pytest.mark.parametrize("name", ["weight", "bias", "shift", "y0", "t"])
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_storage_that_is_gone_before_a_solve(
    method: str, solve: Callable[..., Tensor], name: str, left: int
) -> None:
    field, y0, t = given()
    solve(field, y0, t, method=method)
    tensors = {"weight": field.net.weight, "bias": field.net.bias, "shift": field.shift, "y0": y0, "t": t}
    tensors[name].untyped_storage().resize_(left)
    with pytest.raises((RuntimeError, ValueError)):
        solve(field, y0, t, method=method)


@pytest.mark.parametrize("name", ["weight", "bias", "cotangent", "states"])
@pytest.mark.parametrize("solve", SOLVES)
def test_storage_that_is_gone_before_the_backward_pass(solve: Callable[..., Tensor], name: str) -> None:
    field, y0, t = given()
    states = solve(field, y0, t, method="rk4")
    cotangent = torch.ones_like(states)
    if name == "states" and solve is flashode.odeint:
        return  # its backward pass does not read them
    tensors = {"weight": field.net.weight, "bias": field.net.bias, "cotangent": cotangent, "states": states}
    tensors[name].untyped_storage().resize_(0)
    with pytest.raises(RuntimeError, match=LOST):
        states.backward(cotangent)


UNPACKED: dict[str, Callable[[Tensor], Any]] = {
    "fewer": lambda x: x.reshape(-1)[:1],
    "more": lambda x: torch.cat([x.reshape(-1), x.reshape(-1)]),
    "turned": lambda x: x[None],
    "single": lambda x: x.to(torch.float16),
    "double": lambda x: x.to(torch.float64),
    "integer": lambda x: x.to(torch.int32),
}


@pytest.mark.parametrize("unpack", UNPACKED)
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("method", ["rk4", "dopri5"])
def test_hooks_that_return_something_else(method: str, solve: Callable[..., Tensor], unpack: str) -> None:
    field, y0, t = given()
    with saved_tensors_hooks(lambda x: x, lambda x: UNPACKED[unpack](x) if x.numel() > 4 else x):
        states = solve(field, y0, t.float(), method=method)
    with pytest.raises(RuntimeError):
        states.sum().backward()


def _spread(x: Tensor) -> Tensor:
    return torch.stack([x, x], dim=-1)[..., 0]


SAME: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "another dtype": (lambda x: x.detach().double(), lambda x: x.to(torch.float32)),
    "spread": (_spread, lambda x: x),
    "negated": (lambda x: -x, torch._neg_view),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("same", SAME)
@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("method", ["rk4", "dopri5", "implicit_euler"])
def test_hooks_that_return_the_same_elsewhere(method: str, solve: Callable[..., Tensor], same: str) -> None:
    found = []
    for pack, unpack in ((lambda x: x, lambda x: x), SAME[same]):
        field, y0, t = given()
        with saved_tensors_hooks(pack, unpack):
            states = solve(field, y0, t.float(), method=method)
        (gradient,) = torch.autograd.grad(states.square().sum(), y0)
        found.append(gradient)
    assert torch.equal(*found)
