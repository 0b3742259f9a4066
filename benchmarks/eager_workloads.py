"""Workloads that only plain PyTorch can run: what the compiled engine declines is to be no slower for it."""

import torch
from torch import Tensor, nn

from benchmarks.workloads import Workload


class ConvolutionalField(nn.Module):
    """A small image block: two convolutions with a tanh between."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(4, 8, 3, padding=1)
        self.outer = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (batch, 4, height, width)."""
        rate: Tensor = self.outer(torch.tanh(self.inner(y)))
        return rate


class DropoutField(nn.Module):
    """A network that leaves out other units at every evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Dropout(0.1), nn.Linear(32, 8))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, 8)."""
        rate: Tensor = self.net(y)
        return rate


class BranchingField(nn.Module):
    """A network with a drift that Python switches off at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, 2)."""
        rate: Tensor = self.net(y)
        return rate - y if float(t) < 0.5 else rate


EAGER_WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "convolution",
            "two convolutions on 8 images of 4 x 12 x 12, 2 times",
            ConvolutionalField,
            lambda: torch.randn(8, 4, 12, 12),
            torch.linspace(0, 1, 2),
            rtol=1e-3,
            atol=1e-3,
        ),
        Workload(
            "dropout",
            "a network 8-32-8 with dropout, batch 32, 20 steps",
            DropoutField,
            lambda: torch.randn(32, 8),
            torch.linspace(0, 1, 21),
            method="rk4",
            random=True,
        ),
        Workload(
            "branch",
            "a network 2-16-2 with a branch on t, batch 20, 10 times",
            BranchingField,
            lambda: torch.randn(20, 2),
            torch.linspace(0, 1, 10),
            rtol=1e-4,
            atol=1e-4,
            options={"jump_t": torch.tensor([0.5])},
        ),
    )
}
