"""Fields that depend on time, in the ways in which people mix it in."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


@CATALOGUE.add(normal(4, 3))
class TimeAppended(nn.Module):
    """Time as one more feature, by ``expand``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([y, t.expand(y.shape[0], 1)], dim=-1))


@CATALOGUE.add(normal(4, 3))
class TimeAppendedAsOnes(nn.Module):
    """Time as one more feature, by ``ones_like``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        tt = torch.ones_like(x[:, :1]) * t
        return self.layer(torch.cat([tt, x], 1)).relu()


@CATALOGUE.add(normal(4, 3))
class TimeAppendedInManyWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(9, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        b = y.size(0)
        times = [
            t.repeat(b, 1),
            t.view(1, 1).expand(b, -1),
            t.unsqueeze(0).unsqueeze(0).repeat(b, 1),
            torch.zeros(b, 1, dtype=y.dtype) + t,
            t * torch.ones(b, dtype=y.dtype).unsqueeze(-1),
            t.expand_as(y[..., :1]),
        ]
        return torch.sin(self.layer(torch.cat([y, *times], dim=-1)))


@CATALOGUE.add(normal(4, 3))
def time_as_full(t: Tensor, y: Tensor) -> Tensor:
    return y * torch.broadcast_to(t, y.shape) - y.new_ones(y.shape) * t.square()


@CATALOGUE.add(normal(3))
class TimeAppendedToAVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layer(torch.cat((y, t.reshape(1)))).tanh()


@CATALOGUE.add(normal(4, 3))
def time_times_state(t: Tensor, y: Tensor) -> Tensor:
    return t * y - t**2 * y.sin() + (1 - t) * y / (1 + t)


@CATALOGUE.add(normal(4, 3))
def forced(t: Tensor, y: Tensor) -> Tensor:
    return -y + torch.sin(2 * math.pi * t) * 0.5 + torch.exp(-t) * torch.cos(3 * t + y)


@CATALOGUE.add(normal(4, 3))
class SinusoidalEmbedding(nn.Module):
    """The time embedding of diffusion models."""

    def __init__(self) -> None:
        super().__init__()
        self.dim = 6
        self.embed = nn.Linear(6, 4)
        self.net = nn.Sequential(nn.Linear(7, 8), nn.SiLU(), nn.Linear(8, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        half = self.dim // 2
        freqs = torch.exp(-math.log(100.0) * torch.arange(half, dtype=y.dtype, device=y.device) / half)
        args = t * freqs
        emb = torch.cat([torch.sin(args), torch.cos(args)], dim=-1)
        emb = self.embed(emb)
        return self.net(torch.cat([y, emb.unsqueeze(0).expand(y.shape[0], -1)], -1))


@CATALOGUE.add(normal(4, 3))
class EmbeddingOfABatchOfTimes(nn.Module):
    """As in flow matching: the model takes one time for each sample."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.arange(1, 4) * math.pi)
        self.net = nn.Sequential(nn.Linear(9, 8), nn.GELU(), nn.Linear(8, 3))

    def model(self, x: Tensor, t: Tensor) -> Tensor:
        angles = t[:, None] * self.freqs[None, :]
        return self.net(torch.cat([x, angles.cos(), angles.sin()], dim=1))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.model(y, t.repeat(y.shape[0]))


@CATALOGUE.add(normal(4, 3))
class RandomFourierFeatures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 4), requires_grad=False)
        self.net = nn.Linear(11, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        proj = t.reshape(1, 1) @ self.weight * 2 * math.pi
        features = torch.cat([proj.sin(), proj.cos()], dim=-1)
        return self.net(torch.cat([y, features.expand(len(y), -1)], dim=-1))


class ConcatSquashLinear(nn.Module):
    """A linear layer whose output is gated and shifted by functions of time."""

    def __init__(self, dim_in: int, dim_out: int) -> None:
        super().__init__()
        self.layer = nn.Linear(dim_in, dim_out)
        self.hyper_bias = nn.Linear(1, dim_out, bias=False)
        self.hyper_gate = nn.Linear(1, dim_out)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.hyper_gate(t.view(1, 1)))
        return self.layer(x) * gate + self.hyper_bias(t.view(1, 1))


@CATALOGUE.add(normal(4, 3))
class ConcatSquash(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([ConcatSquashLinear(3, 6), ConcatSquashLinear(6, 3)])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            y = layer(t, y)
            if i < len(self.layers) - 1:
                y = F.softplus(y)
        return y


@CATALOGUE.add(normal(4, 3))
class ConcatLinears(nn.Module):
    """Time appended before each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(7, 3)

    def _with_time(self, t: Tensor, x: Tensor) -> Tensor:
        return torch.cat([torch.full_like(x[..., :1], 1.0) * t, x], dim=-1)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        h = torch.tanh(self.first(self._with_time(t, y)))
        return self.second(self._with_time(t, h))


@CATALOGUE.add(normal(4, 3))
class FeatureWiseModulation(nn.Module):
    """FiLM: time scales and shifts the hidden features."""

    def __init__(self) -> None:
        super().__init__()
        self.film = nn.Linear(1, 12)
        self.inner = nn.Linear(3, 6)
        self.outer = nn.Linear(6, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        scale, shift = self.film(t[None]).split(6, dim=-1)
        return self.outer(F.gelu(self.inner(y) * (1 + scale) + shift))


@CATALOGUE.add(normal(4, 3))
class PolynomialInTime(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.randn(4, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        powers = torch.stack([torch.ones_like(t), t, t**2, t**3])
        return powers @ self.coefficients - y


@CATALOGUE.add(normal(4, 3))
class LayerForEachInterval(nn.Module):
    """A piecewise constant weight, blended by indicator functions of time."""

    def __init__(self) -> None:
        super().__init__()
        self.early = nn.Linear(3, 3)
        self.late = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.13, self.early(y), self.late(y))


@CATALOGUE.add(normal(4, 3))
class WeightInterpolatedInTime(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.randn(3, 3))
        self.end = nn.Parameter(torch.randn(3, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ ((1 - t) * self.start + t * self.end).T)


@CATALOGUE.add(normal(4, 3))
class Control(nn.Module):
    """Driven by a cubic spline between knots, selected by hat functions of time."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("knots", torch.linspace(0, 1, 5))
        self.values = nn.Parameter(torch.randn(5, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        hats = torch.relu(1 - (t - self.knots).abs() * 4)
        return hats @ self.values - 0.5 * y
