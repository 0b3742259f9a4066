"""Slopes that are infinite where another is zero: torch's piecewise functions mask, and so no NaN arises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import flashode
from flashode import use_engine

D = torch.float64
# On all sides of the kinks, but on none of them: there clamps let an infinite gradient pass.
STATES = [[-4.0, -1.2, -0.2], [-0.1, 0.1, 0.7], [1.3, 4.0, 7.0]]
FIELDS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda y: torch.sqrt(F.relu(y)),
    "clamp": lambda y: torch.sqrt(y.clamp(min=0)),
    "power of relu": lambda y: torch.relu(y) ** 0.3,
    "clamp to the domain": lambda y: torch.acos(y.clamp(-1, 1)),
    "clamp of a sum": lambda y: torch.sqrt((1 - y * y).clamp(min=0)),
    "maximum": lambda y: torch.sqrt(torch.maximum(y, torch.zeros((), dtype=D))),
    "minimum": lambda y: torch.sqrt(-torch.minimum(y, torch.zeros((), dtype=D))),
    "hardtanh": lambda y: torch.sqrt(F.hardtanh(y, 0.0, 1.0)),
    "relu6": lambda y: torch.sqrt(F.relu6(y)),
    "hardsigmoid": lambda y: torch.sqrt(F.hardsigmoid(y)),
    "hardswish": lambda y: torch.sqrt(F.hardswish(y).abs()),
    "threshold": lambda y: torch.sqrt(F.threshold(y, 0.5, 0.0)),
    "where": lambda y: torch.where(y > 0, torch.log(torch.relu(y)), 0.0),
    "power": lambda y: torch.sqrt(y**0 - 1.0) + y,
}


def _gradients(solver: Any, field: Callable[[Tensor], Tensor], engine: Any) -> tuple[Tensor, ...]:
    y0 = torch.tensor(STATES, dtype=D, requires_grad=True)
    scale = torch.tensor(0.3, dtype=D, requires_grad=True)
    options = {"adjoint_params": (scale,)} if solver is flashode.odeint_adjoint else {}
    with use_engine(engine):
        ys = solver(
            lambda t, y: scale * field(y), y0, torch.tensor([0.0, 0.25], dtype=D), method="rk4", **options
        )
    return (ys.detach(), *torch.autograd.grad(ys.sum(), (y0, scale)))


@pytest.mark.parametrize("solver", [flashode.odeint, flashode.odeint_adjoint], ids=["odeint", "adjoint"])
@pytest.mark.parametrize("name", FIELDS)
def test_gradients_are_those_of_the_function(name: str, solver: Any) -> None:
    gradients = _gradients(solver, FIELDS[name], "native")
    wanted = _gradients(solver, FIELDS[name], "eager")
    torch.testing.assert_close(gradients, wanted, equal_nan=True)
    assert all(part.isfinite().all() for part in gradients)


def test_a_slope_of_zero_that_torch_multiplies_is_multiplied() -> None:
    y0 = torch.tensor([[0.0, 1.0]], dtype=D, requires_grad=True)
    t = torch.tensor([0.0, 0.25], dtype=D)
    (actual,) = torch.autograd.grad(
        flashode.odeint(lambda t, y: torch.sqrt(y**2), y0, t, method="rk4").sum(), y0
    )
    assert actual.isnan().tolist() == [[True, False]]
