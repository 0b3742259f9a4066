"""Normalisation layers, with their gradients inside a field."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import declined, must_capture, random
from capture.exactly import lowers


class Normalised(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        for number, tensor in enumerate([*norm.parameters(), *norm.buffers()]):
            if tensor.is_floating_point():
                tensor.data = 1 + 0.3 * random(*tensor.shape, seed=number).abs()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.norm(y) * t + y


class Slope(Normalised):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            energy = (super().forward(t, y).sin() * y.cos()).sum()
            return torch.autograd.grad(energy, y, create_graph=True)[0]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "layer norm": (lambda: nn.LayerNorm(3), (4, 3)),
    "layer norm of nodes": (lambda: nn.LayerNorm(3), (4, 2, 3)),
    "layer norm of all nodes": (lambda: nn.LayerNorm((2, 3)), (4, 2, 3)),
    "layer norm without weights": (lambda: nn.LayerNorm(3, elementwise_affine=False), (4, 3)),
    "layer norm without bias": (lambda: nn.LayerNorm(3, bias=False), (4, 3)),
    "rms norm": (lambda: nn.RMSNorm(3), (4, 2, 3)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (4, 4)),
    "group norm of positions": (lambda: nn.GroupNorm(2, 4), (4, 4, 3)),
    "group norm without weights": (lambda: nn.GroupNorm(2, 4, affine=False), (4, 4, 3)),
    "batch norm of running statistics": (lambda: nn.BatchNorm1d(3).eval(), (4, 3)),
    "batch norm of positions": (lambda: nn.BatchNorm1d(2).eval(), (4, 2, 3)),
    "batch norm without weights": (lambda: nn.BatchNorm1d(3, affine=False).eval(), (4, 3)),
    "batch norm of images": (lambda: nn.BatchNorm2d(2).eval(), (4, 2, 2, 2)),
    "instance norm": (lambda: nn.InstanceNorm1d(2), (4, 2, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str) -> None:
    make, shape = LAYERS[name]
    func = Normalised(make().double())
    flat = torch.zeros(shape, dtype=torch.float64)
    lowers(func, random(*shape), [flat, flat + 2.0], list(func.parameters()), rtol=1e-8)


@pytest.mark.parametrize("name", LAYERS)
def test_derivative_of_a_layer(name: str) -> None:
    make, shape = LAYERS[name]
    func = Slope(make().double())
    lowers(func, random(*shape), (), list(func.parameters()), rtol=1e-7)


def test_the_derivative_in_the_weights_of_a_layer_norm() -> None:
    """Of a norm of time only, which no trajectory enters."""
    weight, bias = random(3).requires_grad_(), random(3, seed=1).requires_grad_()

    def func(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            w, b = weight * t, bias * t
            energy = F.layer_norm(torch.stack([t, t * t, 1 - t]), (3,), w, b).sin().sum()
            slopes = torch.autograd.grad(energy, [w, b], create_graph=True)
        return y * slopes[0] + slopes[1]

    lowers(func, random(4, 3), (), [weight, bias], rtol=1e-7)


def test_statistics_of_the_batch_are_refused() -> None:
    func = Normalised(nn.BatchNorm1d(3).double())
    assert "running statistics" in declined(func, random(4, 3))
    bare = Normalised(nn.BatchNorm1d(3, track_running_stats=False).double())
    assert not must_capture(bare, random(4, 3)).batched


def test_layer_norm_over_the_batch_is_one_trajectory() -> None:
    assert not must_capture(lambda t, y: F.layer_norm(y, y.shape), random(4, 3)).batched
