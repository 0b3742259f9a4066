"""Convolutions over the features of a trajectory, as in discretised partial differential equations."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import declined, random
from capture.exactly import D, lowers
from flashode.program import Dense

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "one dimension": (lambda: nn.Conv1d(2, 2, 3, padding=1), (4, 2, 5)),
    "without bias": (lambda: nn.Conv1d(2, 2, 3, padding=1, bias=False), (4, 2, 5)),
    "dilated": (lambda: nn.Conv1d(2, 2, 3, padding=2, dilation=2), (4, 2, 5)),
    "of each channel": (lambda: nn.Conv1d(4, 4, 3, padding=1, groups=4), (4, 4, 5)),
    "in groups": (lambda: nn.Conv1d(4, 4, 3, padding=1, groups=2), (4, 4, 5)),
    "around the edges": (lambda: nn.Conv1d(2, 2, 3, padding=1, padding_mode="circular"), (4, 2, 5)),
    "two dimensions": (lambda: nn.Conv2d(2, 2, (3, 1), padding=(1, 0)), (4, 2, 3, 2)),
    "three dimensions": (lambda: nn.Conv3d(1, 1, 3, padding=1), (4, 1, 2, 3, 2)),
    "of one place": (lambda: nn.Conv1d(2, 2, 1), (4, 2, 5)),
}


class Layer(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.inner(y)) * t - y


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    func = Layer(make().double())
    lowers(func, random(*shape), (), list(func.parameters()))


def test_strides() -> None:
    layer = nn.Conv1d(2, 4, 3, stride=2, padding=1).double()
    lowers(
        lambda t, y: layer(y).flatten(1)[:, :10].view(y.shape), random(4, 2, 5), (), list(layer.parameters())
    )


def test_heat_equation() -> None:
    stencil = torch.tensor([[[1.0, -2.0, 1.0]]], dtype=D)

    def func(t: Tensor, y: Tensor) -> Tensor:
        return F.conv1d(F.pad(y[:, None], (1, 1), mode="circular"), stencil)[:, 0]

    captured = lowers(func, random(4, 6))
    assert sum(isinstance(op, Dense) for op in captured.program.ops) == 1


def test_a_computed_kernel_is_refused() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return F.conv1d(y[:, None], t.expand(1, 1, 3), padding=1)[:, 0]

    assert "convolution" in declined(func, random(4, 6))
