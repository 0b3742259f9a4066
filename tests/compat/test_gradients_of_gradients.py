"""Second derivatives where what a solve is given was computed from one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from compat.cases import values

D = torch.float64
T = torch.tensor([0.0, 0.4, 1.0], dtype=D)


def _first_and_second(solve: Callable[..., Tensor], leaf: Tensor) -> tuple[Tensor, Tensor]:
    leaf = leaf.clone().requires_grad_()
    (first,) = torch.autograd.grad(solve(leaf).cos().sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), leaf)
    return first.detach(), second


def _state_and_times(odeint: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    def solve(x: Tensor) -> Tensor:
        y0 = values(3) * x
        options = {"first_step": 0.1}
        return odeint(lambda t, y: torch.sin(y) * torch.cos(t), y0, T * y0.square().sum(), options=options)

    return solve


def _shortened_step(odeint: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """The outputs lie in a step that a prescribed time has shortened."""
    options = {"first_step": 0.4, "step_t": torch.tensor([0.3], dtype=D)}

    def solve(x: Tensor) -> Tensor:
        t = torch.tensor([0.1, 0.3, 0.4], dtype=D) * x
        return odeint(lambda t, y: -y * y * (1 + t), values(3), t, rtol=1e-2, atol=1e-2, options=options)

    return solve


def _grid(odeint: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    def grid(func: object, y0: Tensor, t: Tensor) -> Tensor:
        return torch.cat([t[:1] + (t[-1] - t[0]) * torch.tensor([0.0, 0.2, 0.7], dtype=D), t[-1:]])

    return lambda x: odeint(
        lambda t, y: torch.sin(y) * torch.cos(t),
        values(3),
        T * x,
        method="rk4",
        options={"grid_constructor": grid},
    )


def _parameters(odeint: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    def solve(x: Tensor) -> Tensor:
        doubled = 2 * x
        return odeint(lambda t, y: torch.sin(doubled * y) - x * y, values(3), T, method="rk4")

    return solve


@pytest.mark.parametrize("make", [_state_and_times, _shortened_step, _grid, _parameters])
def test_same_as_torchdiffeq(engine: str, make: Callable[..., Callable[[Tensor], Tensor]]) -> None:
    leaf = torch.tensor(0.7, dtype=D)
    actual = _first_and_second(make(flashode.odeint), leaf)
    expected = _first_and_second(make(torchdiffeq.odeint), leaf)
    for x, y in zip(actual, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)
