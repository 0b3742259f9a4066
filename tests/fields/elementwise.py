"""Fields written out in arithmetic: functions of each element, comparisons, and reductions over features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal, positive

CATALOGUE = Catalogue()


@CATALOGUE.add(normal(4, 3))
def where_of_a_comparison(t: Tensor, y: Tensor) -> Tensor:
    return torch.where(y > 0, -y, 0.5 * y * y)


@CATALOGUE.add(normal(4, 3))
def where_of_numbers(t: Tensor, y: Tensor) -> Tensor:
    return torch.where(y.abs() < 0.7, 1.0, -1.0) * y


@CATALOGUE.add(normal(4, 3))
def where_of_both_sides(t: Tensor, y: Tensor) -> Tensor:
    """The safe square root: neither branch may leak NaN into the other's gradient."""
    positive_part = torch.where(y > 0, y, torch.ones_like(y))
    return torch.where(y > 0, positive_part.sqrt(), torch.zeros_like(y)) - y


@CATALOGUE.add(normal(4, 3))
def mask_times_value(t: Tensor, y: Tensor) -> Tensor:
    return (y >= 0.1) * y - (y < 0.1).to(y.dtype) * 0.3 * y


@CATALOGUE.add(normal(4, 3))
def mask_float(t: Tensor, y: Tensor) -> Tensor:
    inside = ((y > -0.5) & (y < 0.5)).type_as(y)
    outside = torch.logical_or(y <= -0.5, y >= 0.5).double()
    return inside * y - outside * y**2


@CATALOGUE.add(normal(4, 3))
def masked_fill(t: Tensor, y: Tensor) -> Tensor:
    return (y * torch.cos(t)).masked_fill(~(y > 0), 0.25) - y.ne(0) * y


@CATALOGUE.add(normal(4, 3))
def heaviside_of_time(t: Tensor, y: Tensor) -> Tensor:
    pulse = torch.where((t > 0.123) & (t < 0.317), 1.0, 0.0)
    return pulse * y - 0.1 * y


@CATALOGUE.add(normal(4, 3))
def clamps(t: Tensor, y: Tensor) -> Tensor:
    return -y.clamp(-0.8, 0.9) + torch.clamp(y, min=0.05) * 0.3 - y.clamp_max(0.2)


@CATALOGUE.add(normal(4, 3))
def clamps_to_tensors(t: Tensor, y: Tensor) -> Tensor:
    low = torch.tensor([-0.5, -0.2, -0.1], dtype=y.dtype)
    return -torch.clamp(y, low, low + 0.9)


@CATALOGUE.add(positive(4, 3))
def powers_by_numbers(t: Tensor, y: Tensor) -> Tensor:
    return y**2 - y**3 + y**0.5 + 0.1 * y**-1 - y**1.7 + 0.1 * 2.0**y - y.pow(4) * 0.01 + 0.1 * y**-2


@CATALOGUE.add(positive(4, 3))
class PowersByTensors(nn.Module):
    """Hill and Freundlich exponents that are learned."""

    def __init__(self) -> None:
        super().__init__()
        self.n = nn.Parameter(torch.tensor([1.5, 2.0, 0.7]))
        self.k = nn.Parameter(torch.tensor(0.8))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        hill = y**self.n / (self.k**self.n + y**self.n)
        return hill - y.pow(self.k) + torch.pow(self.k, y)


@CATALOGUE.add(positive(4, 3))
def logarithms_and_exponentials(t: Tensor, y: Tensor) -> Tensor:
    a = torch.log(y) + torch.log1p(y) + torch.log2(y) + y.log10()
    b = torch.exp(-y) + torch.expm1(-y) + torch.exp2(-y)
    return 0.1 * (b - a)


@CATALOGUE.add(positive(4, 3))
def roots_and_reciprocals(t: Tensor, y: Tensor) -> Tensor:
    return y.sqrt() + 0.1 * y.rsqrt() + y.reciprocal() * 0.1 - 1 / (1 + y) - y.square()


@CATALOGUE.add(normal(4, 3))
def trigonometry(t: Tensor, y: Tensor) -> Tensor:
    z = 0.5 * torch.tanh(y)
    circular = torch.sin(y) + torch.cos(y) * torch.tan(z) + torch.asin(z) - torch.acos(z) + torch.atan(y)
    hyperbolic = torch.sinh(z) - torch.cosh(z) + torch.asinh(y) + torch.atanh(z) + torch.acosh(1.5 + y.abs())
    return 0.2 * (circular + hyperbolic)


@CATALOGUE.add(normal(4, 2))
def polar(t: Tensor, y: Tensor) -> Tensor:
    x, z = y[..., 0], y[..., 1]
    return torch.stack([torch.atan2(z, x), torch.hypot(x, z)], dim=-1) * 0.3


@CATALOGUE.add(normal(4, 3))
def special(t: Tensor, y: Tensor) -> Tensor:
    return torch.erf(y) - torch.special.expit(y) + torch.sinc(y + 0.01) + torch.logit(torch.sigmoid(y))


@CATALOGUE.add(normal(4, 3))
def signs(t: Tensor, y: Tensor) -> Tensor:
    """Coulomb friction."""
    return -torch.sign(y) * y.abs() ** 1.5 - 0.1 * y.sgn() * y


@CATALOGUE.add(normal(4, 3))
def maxima(t: Tensor, y: Tensor) -> Tensor:
    a = torch.maximum(y, -0.5 * y) - torch.minimum(y, torch.tensor(0.3, dtype=y.dtype))
    return 0.3 * (a - torch.max(y, y.flip(-1)) + torch.fmax(y, 2 * y) - torch.min(y, 0.7 * y))


@CATALOGUE.add(normal(4, 3))
def largest_of_the_features(t: Tensor, y: Tensor) -> Tensor:
    top, _ = y.max(dim=-1, keepdim=True)
    return y - top + y.amin(-1, keepdim=True) - torch.amax(y.abs(), dim=1, keepdim=True)


@CATALOGUE.add(normal(4, 3))
def softmax_of_the_features(t: Tensor, y: Tensor) -> Tensor:
    """Replicator dynamics."""
    p = torch.softmax(y, dim=-1)
    return p * (y - (p * y).sum(-1, keepdim=True)) - F.log_softmax(y, 1) * 0.1


@CATALOGUE.add(normal(4, 3))
def logsumexp_of_the_features(t: Tensor, y: Tensor) -> Tensor:
    return torch.logsumexp(y, dim=-1, keepdim=True) - y + torch.logaddexp(y, -y)


@CATALOGUE.add(normal(4, 3))
def means_and_spreads(t: Tensor, y: Tensor) -> Tensor:
    centred = y - y.mean(dim=-1, keepdim=True)
    return -centred / (1 + y.std(-1, keepdim=True)) + y.var(dim=-1, keepdim=True, unbiased=False) * 0.1


@CATALOGUE.add(normal(4, 3))
def norms(t: Tensor, y: Tensor) -> Tensor:
    a = y / (1 + y.norm(dim=-1, keepdim=True))
    b = F.normalize(y, dim=-1) - torch.linalg.vector_norm(y, dim=-1, keepdim=True) * 0.1
    return a - b + torch.linalg.norm(y, ord=1, dim=-1, keepdim=True) * 0.01


@CATALOGUE.add(normal(4, 3))
def products_and_cumulative_sums(t: Tensor, y: Tensor) -> Tensor:
    return -y.cumsum(-1) + 0.1 * y.prod(dim=-1, keepdim=True)


@CATALOGUE.add(normal(4, 3))
def fused_arithmetic(t: Tensor, y: Tensor) -> Tensor:
    a = torch.addcmul(y, y, y, value=-0.5)
    b = torch.addcdiv(y, y, 1 + y * y, value=0.3)
    return torch.lerp(a, b, 0.4) + torch.add(y, y, alpha=-2.0) - torch.sub(1.0, y)


@CATALOGUE.add(normal(4, 3), span=0.02)
def rounded(t: Tensor, y: Tensor) -> Tensor:
    """A staircase, a sawtooth and remainders."""
    stairs = torch.floor(3 * y) - torch.ceil(y) + torch.round(2 * y) + torch.trunc(y)
    return 0.1 * stairs + (y - y.floor()) + torch.fmod(y, 0.7) + torch.remainder(y, 0.5) + y.frac()


@CATALOGUE.add(normal(4, 3))
def periodic_in_space(t: Tensor, y: Tensor) -> Tensor:
    return torch.sin(y % (2 * math.pi)) - (y + math.pi) % 2.0


@CATALOGUE.add(normal(4, 3))
def in_place_on_temporaries(t: Tensor, y: Tensor) -> Tensor:
    z = y.clone()
    z *= 2
    z += torch.sin(t)
    z[:, 0] = 0.5 * y[:, 1]
    z[..., 2].mul_(0.3)
    return z.neg_()


@CATALOGUE.add(normal(4, 3))
def rows_that_become_numbers_no_more(t: Tensor, y: Tensor) -> Tensor:
    return torch.nan_to_num(y / (y.abs() + 0.5), nan=0.0, posinf=1.0, neginf=-1.0)


@CATALOGUE.add(normal(4, 3))
def friction_with_stiction(t: Tensor, y: Tensor) -> Tensor:
    return torch.where(torch.isclose(y, torch.zeros_like(y)), y, -torch.tanh(10 * y))


@CATALOGUE.add(normal(4, 3))
def losses_as_potentials(t: Tensor, y: Tensor) -> Tensor:
    target = torch.tensor([0.2, -0.3, 0.5], dtype=y.dtype).expand_as(y)
    a = F.smooth_l1_loss(y, target, reduction="none") + F.mse_loss(y, target, reduction="none")
    return -a + F.huber_loss(y, target, reduction="none", delta=0.5)


@CATALOGUE.add(normal(4, 3))
def threshold_functions(t: Tensor, y: Tensor) -> Tensor:
    return F.relu(y - 0.2) - F.leaky_relu(y, 0.3) + F.hardtanh(y) + torch.relu_(-y) * 0.3
