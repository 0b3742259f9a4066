"""Fields that only plain PyTorch can run: what the compiled engine declines is to be no slower for it."""

import torch
from torch import Tensor, nn

from flashode.bench.tasks.fields import Field


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


CONVOLUTION = Field(ConvolutionalField)
DROPOUT = Field(DropoutField)
BRANCH = Field(BranchingField)
