"""Tensors of a field that no gradient reaches have none, as after the function itself: not zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine

D = torch.float64
T = torch.tensor([0.0, 0.2, 0.5], dtype=D)
Field = Callable[[Tensor, Tensor, Tensor], Tensor]  # of y, a parameter p and a tensor c of each trajectory's


def _without_gradient(y: Tensor, p: Tensor, c: Tensor) -> Tensor:
    with torch.no_grad():
        gate = torch.sigmoid(p * y) * c
    return -gate * y


FIELDS: dict[str, Field] = {
    "detached": lambda y, p, c: y * p.detach(),
    "detached product": lambda y, p, c: y - (y * p + c).detach(),
    "no_grad": _without_gradient,
    "comparison": lambda y, p, c: (y > p) * y,
    "condition": lambda y, p, c: torch.where(y < p + c, y, -y),
    "a comparison of one, a product with the other": lambda y, p, c: torch.where(y < p, y * c, -y),
    "the other way round": lambda y, p, c: torch.where(y < c, y * p, -y),
    "steps, whose gradient is zero": lambda y, p, c: torch.floor(3 * y * p) + torch.sign(c) - y,
    "both reached": lambda y, p, c: y * p + c,
}


class Module(nn.Module):
    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.p = nn.Parameter(torch.tensor([0.3, -0.2], dtype=D))
        self.c = nn.Parameter(torch.tensor([[0.5, 1.0], [-0.4, 0.2], [0.1, -0.7]], dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.field(y, self.p, self.c)


def _solve(solver: Any, field: Field, engine: Any) -> tuple[Tensor, Module]:
    module = Module(field)
    y0 = torch.tensor([[0.5, -0.6], [1.2, 0.1], [-0.8, 0.9]], dtype=D)
    with use_engine(engine):
        return solver(module, y0, T, method="rk4"), module


@pytest.mark.parametrize("name", FIELDS)
def test_gradients_are_none_where_they_are_of_the_function(name: str) -> None:
    actual, module = _solve(flashode.odeint, FIELDS[name], "native")
    wanted, other = _solve(flashode.odeint, FIELDS[name], "eager")
    torch.testing.assert_close(actual, wanted)
    assert actual.requires_grad == wanted.requires_grad
    if wanted.requires_grad:
        actual.sum().backward()
        wanted.sum().backward()
    for parameter, reference in zip(module.parameters(), other.parameters(), strict=True):
        assert (parameter.grad is None) == (reference.grad is None)
        if reference.grad is not None:
            torch.testing.assert_close(parameter.grad, reference.grad)


@pytest.mark.parametrize("name", FIELDS)
def test_the_adjoint_gives_zeros(name: str) -> None:
    actual, module = _solve(flashode.odeint_adjoint, FIELDS[name], "native")
    wanted, other = _solve(flashode.odeint_adjoint, FIELDS[name], "eager")
    actual.sum().backward()
    wanted.sum().backward()
    for parameter, reference in zip(module.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, reference.grad, rtol=1e-3, atol=1e-6)


def test_an_optimizer_leaves_alone_what_no_gradient_reaches() -> None:
    states, module = _solve(
        flashode.odeint, FIELDS["a comparison of one, a product with the other"], "native"
    )
    before = module.p.detach().clone()
    optimizer = torch.optim.AdamW(module.parameters(), weight_decay=0.5)
    states.square().sum().backward()
    optimizer.step()
    assert torch.equal(module.p, before)


def test_second_derivatives_leave_out_what_no_gradient_reaches() -> None:
    states, module = _solve(
        flashode.odeint, FIELDS["a comparison of one, a product with the other"], "native"
    )
    first, none = torch.autograd.grad(
        states.square().sum(), (module.c, module.p), create_graph=True, allow_unused=True
    )
    assert none is None
    second, none = torch.autograd.grad(first.square().sum(), (module.c, module.p), allow_unused=True)
    assert none is None
    assert second.ne(0).any()
