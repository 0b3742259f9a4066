"""Solutions may be changed in place, as torchdiffeq's may be, with the gradients of what was computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from flashode import use_engine

D = torch.float64
T = torch.tensor([0.0, 0.3, 0.7], dtype=D)
C = torch.tensor([[0.5, -1.0], [0.2, 0.3], [1.5, 0.7]], dtype=D)
FIELDS: dict[str, tuple[Callable[[Tensor, Any], Any], bool]] = {
    "a tensor": (lambda t, y: torch.sin(y), False),
    "a tensor of each trajectory's": (lambda t, y: y * C, False),
    "a tuple": (lambda t, y: (torch.sin(y[1]), y[0] * torch.cos(t)), True),
    "a tuple, and a tensor of each trajectory's": (lambda t, y: (torch.sin(y[1]), y[0] * C), True),
}


def _gradient(solver: Any, name: str) -> Tensor:
    field, is_tuple = FIELDS[name]
    y0 = torch.tensor([[0.1, 0.4], [-0.3, 0.8], [1.1, -0.6]], dtype=D, requires_grad=True)
    solution = solver(field, (y0, 2 * y0) if is_tuple else y0, T, method="rk4")
    parts = solution if is_tuple else (solution,)
    for part in parts:
        part.mul_(2)
        part[-1].add_(part[0])
        part[1] = 0
    (gradient,) = torch.autograd.grad(sum(part.square().sum() for part in parts), y0)
    return gradient


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("engine", ["eager", "auto"])
def test_a_solution_may_be_changed_in_place(engine: Any, name: str) -> None:
    with use_engine(engine):
        actual = _gradient(flashode.odeint, name)
    torch.testing.assert_close(actual, _gradient(torchdiffeq.odeint, name))
