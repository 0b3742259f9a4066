"""Every activation of ``torch.nn`` between two linear layers, and some that people write themselves."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


class Sine(nn.Module):
    def __init__(self, w0: float = 1.5) -> None:
        super().__init__()
        self.w0 = w0

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.w0 * x)


class Snake(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.rand(6) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.sin(self.alpha * x).pow(2) / self.alpha


class Swish(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return (x * torch.sigmoid_(x * F.softplus(self.beta))).div_(1.1)


class Gaussian(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.exp(-x.square() / 2)


class Laplace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * (1 + torch.erf((x - 0.7) / 0.3))


class SquaredRelu(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x) ** 2


class GatedLinear(nn.Module):
    """SwiGLU, by hand."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        return torch.cat([F.silu(a) * b, torch.tanh(a)], -1)


class GluThenWiden(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.glu = nn.GLU()

    def forward(self, x: Tensor) -> Tensor:
        gated = self.glu(x)
        return torch.cat([gated, -gated], dim=-1)


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "CELU": nn.CELU,
    # Torch keeps the inverse of alpha in single precision; that of a half is exact.
    "CELU alpha": lambda: nn.CELU(alpha=0.5),
    "ELU": nn.ELU,
    "ELU alpha": lambda: nn.ELU(alpha=0.3),
    "GELU": nn.GELU,
    "GELU tanh": lambda: nn.GELU(approximate="tanh"),
    "Hardshrink": lambda: nn.Hardshrink(0.2),
    "Hardsigmoid": nn.Hardsigmoid,
    "Hardswish": nn.Hardswish,
    "Hardtanh": lambda: nn.Hardtanh(-0.4, 0.3),
    "LeakyReLU": nn.LeakyReLU,
    "LeakyReLU slope": lambda: nn.LeakyReLU(0.3, inplace=True),
    "LogSigmoid": nn.LogSigmoid,
    "LogSoftmax": lambda: nn.LogSoftmax(dim=-1),
    "Mish": nn.Mish,
    "PReLU": nn.PReLU,
    "PReLU per feature": lambda: nn.PReLU(6),
    "RReLU in eval": lambda: nn.RReLU().eval(),
    "ReLU": nn.ReLU,
    "ReLU in place": lambda: nn.ReLU(inplace=True),
    "ReLU6": nn.ReLU6,
    "SELU": nn.SELU,
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
    "Softmax": lambda: nn.Softmax(dim=-1),
    "Softmin": lambda: nn.Softmin(dim=-1),
    "Softplus": nn.Softplus,
    "Softplus beta": lambda: nn.Softplus(beta=2.0, threshold=0.9),
    "Softshrink": lambda: nn.Softshrink(0.2),
    "Softsign": nn.Softsign,
    "Tanh": nn.Tanh,
    "Tanhshrink": nn.Tanhshrink,
    "Threshold": lambda: nn.Threshold(0.1, -0.2),
    "Gaussian": Gaussian,
    "GatedLinear": GatedLinear,
    "GLU": GluThenWiden,
    "Laplace": Laplace,
    "Sine": Sine,
    "Snake": Snake,
    "SquaredRelu": SquaredRelu,
    "Swish": Swish,
}


class Net(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 6), activation, nn.Linear(6, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


# In torch's own gradient of it, the sixth is of single precision.
TOLERANCES = {"Hardsigmoid": 1e-7}

for _name, _make in ACTIVATIONS.items():
    CATALOGUE.add(normal(5, 3), name=_name, tolerance=TOLERANCES.get(_name, 1e-9))(
        lambda _make=_make: Net(_make())
    )
