"""Weights that are themselves computed: norms, ties, low rank, structure. The prologue computes them once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


class Field(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


@CATALOGUE.add(normal(3, 4))
def weight_norm() -> nn.Module:
    first, second = (parametrizations.weight_norm(nn.Linear(4, 4)) for _ in range(2))
    return Field(first, nn.Tanh(), second)


@CATALOGUE.add(normal(3, 4))
def weight_norm_of_the_whole() -> nn.Module:
    return Field(parametrizations.weight_norm(nn.Linear(4, 4), dim=None), nn.Tanh())


@CATALOGUE.add(normal(3, 4))
def spectral_norm_in_eval() -> nn.Module:
    return Field(parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Tanh(), nn.Linear(4, 4)).eval()


@CATALOGUE.add(normal(3, 4))
def orthogonal_by_cayley() -> nn.Module:
    return Field(parametrizations.orthogonal(nn.Linear(4, 4, bias=False), orthogonal_map="cayley"), nn.Tanh())


class _Symmetric(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).transpose(-1, -2)


@CATALOGUE.add(normal(3, 4))
def symmetric_by_parametrization() -> nn.Module:
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", _Symmetric())
    return Field(layer, nn.Tanh())


@CATALOGUE.add(normal(3, 4))
def tied_layers() -> nn.Module:
    layer = nn.Linear(4, 4)
    return Field(layer, nn.Tanh(), layer, nn.Sigmoid(), layer)


@CATALOGUE.add(normal(3, 4))
class TiedTransposed(nn.Module):
    """An autoencoder that decodes with the transpose of its encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Linear(4, 6)
        self.bias = nn.Parameter(torch.zeros(4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.encoder(y)), self.encoder.weight.t(), self.bias)


@CATALOGUE.add(normal(3, 4))
def tied_parameters() -> nn.Module:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    return Field(first, nn.ELU(), second)


@CATALOGUE.add(normal(3, 4))
class LowRank(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.randn(4, 2))
        self.v = nn.Parameter(torch.randn(2, 4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ (self.u @ self.v)) + (y @ self.u) @ self.v


@CATALOGUE.add(normal(3, 4))
class LowRankAdapter(nn.Module):
    """LoRA beside a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(4, 4)
        self.base.requires_grad_(False)
        self.down = nn.Linear(4, 2, bias=False)
        self.up = nn.Linear(2, 4, bias=False)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.sin(self.base(y) + 0.5 * self.up(self.down(y)))


@CATALOGUE.add(normal(3, 4))
class Antisymmetric(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ (self.w - self.w.T - 0.1 * torch.eye(4, dtype=y.dtype))


@CATALOGUE.add(normal(3, 4))
class Stable(nn.Module):
    """Negative definite by construction."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn(4, 4))
        self.log_scale = nn.Parameter(torch.zeros(4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        lower = torch.tril(self.factor, diagonal=-1) + torch.diag(self.log_scale.exp())
        return -F.linear(y, lower @ lower.mT)


@CATALOGUE.add(normal(3, 4))
class Masked(nn.Module):
    """A sparse layer: a fixed mask on the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("mask", torch.rand(4, 4) > 0.5)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return F.linear(y, self.weight * self.mask).tanh() - F.linear(
            y, self.weight.masked_fill(self.mask, 0.0)
        )


@CATALOGUE.add(normal(3, 4))
class Positive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.randn(4, 4))
        self.bias = nn.Parameter(torch.randn(1))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -F.linear(y, F.softplus(self.raw), self.bias.expand(4))


@CATALOGUE.add(normal(3, 4))
class AssembledFromPieces(nn.Module):
    """The state-space matrix of a mechanical system, put together by cat and stack."""

    def __init__(self) -> None:
        super().__init__()
        self.stiffness = nn.Parameter(torch.rand(2))
        self.damping = nn.Parameter(torch.rand(2, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        zero, one = torch.zeros(2, 2, dtype=y.dtype), torch.eye(2, dtype=y.dtype)
        k = torch.diag_embed(self.stiffness)
        a = torch.cat([torch.cat([zero, one], 1), torch.cat([-k, -self.damping], 1)], 0)
        return torch.matmul(a, y.unsqueeze(-1)).squeeze(-1)


@CATALOGUE.add(normal(3, 4))
class Rotation(nn.Module):
    """The matrix exponential of a generator."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Parameter(torch.randn(4, 4) / 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ torch.matrix_exp(self.generator - self.generator.T)


@CATALOGUE.add(normal(3, 4))
class SolvedFor(nn.Module):
    """A mass matrix that is inverted."""

    def __init__(self) -> None:
        super().__init__()
        self.mass = nn.Parameter(torch.eye(4) + 0.1 * torch.randn(4, 4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.sin(y) @ torch.linalg.inv(self.mass) - y @ torch.linalg.solve(
            self.mass, torch.eye(4).to(y)
        )


@CATALOGUE.add(normal(3, 4))
class Standardised(nn.Module):
    """Weight standardisation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        w = self.layer.weight
        w = (w - w.mean(1, keepdim=True)) / (w.std(1, keepdim=True) + 1e-5)
        return F.linear(y, w, self.layer.bias).tanh()
