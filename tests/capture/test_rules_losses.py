"""Losses as potentials: their values, and the forces that autograd makes of them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from capture.agreement import must_capture, random
from capture.exactly import D, lowers, states

TARGET = torch.tensor([0.2, -0.3, 0.5], dtype=D)
KINKS = states(0.0, 1.0, -1.0, 0.5, -0.5, 3.0)

LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "huber": lambda a, b, reduction: F.huber_loss(a, b, reduction=reduction, delta=0.5),
    "smooth l1": lambda a, b, reduction: F.smooth_l1_loss(a, b, reduction=reduction, beta=0.5),
    "smooth l1 of no width": lambda a, b, reduction: F.smooth_l1_loss(a, b, reduction=reduction, beta=0.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name: str) -> None:
    loss = LOSSES[name]
    lowers(lambda t, y: loss(y, TARGET.expand_as(y) * t, reduction="none") * y, random(4, 3), [KINKS])
    lowers(lambda t, y: loss(y, torch.zeros_like(y), reduction="none"), random(4, 3), [KINKS])


@pytest.mark.parametrize("name", LOSSES)
def test_force(name: str) -> None:
    """At points where the force is differentiable: torch's own choices elsewhere differ from loss to loss."""
    loss = LOSSES[name]

    def func(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            energy = loss(y.sin(), TARGET.expand_as(y) * t, reduction="sum")
            return -torch.autograd.grad(energy, y, create_graph=True)[0]

    lowers(func, random(4, 3))


def test_of_a_single_trajectory() -> None:
    for reduction in ("sum", "mean"):
        func = lambda t, y: F.mse_loss(y, TARGET, reduction=reduction) * y  # noqa: B023, E731
        captured = must_capture(func, random(3))
        t, y = torch.tensor(0.0, dtype=D), random(3, seed=2)
        torch.testing.assert_close(captured.program.interpret(t, y, captured.parameters()), func(t, y))


def test_the_mean_over_the_batch_is_refused() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            energy = F.mse_loss(y, torch.zeros_like(y))
            return -torch.autograd.grad(energy, y, create_graph=True)[0]

    assert not must_capture(func, random(4, 3)).batched
    assert not must_capture(lambda t, y: y * F.mse_loss(y, y.sin()), random(4, 3)).batched
