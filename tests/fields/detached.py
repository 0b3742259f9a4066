"""Fields that keep gradients from flowing: detach, no_grad, and derivatives of only first order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


class _Energy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1))


@CATALOGUE.add(normal(3, 4))
class TrackedAfresh(_Energy):
    """The state is detached first; parameters still learn."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y.detach().requires_grad_(True)
            dq, dp = torch.autograd.grad(self.h(x).sum(), x, create_graph=True)[0].chunk(2, dim=-1)
        return torch.cat([dp, -dq], dim=-1)


@CATALOGUE.add(normal(3, 4))
class ClonedAndTrackedAfresh(_Energy):
    @torch.enable_grad()
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x = y.detach().clone().requires_grad_()
        return -torch.autograd.grad(self.h(x).sum(), x, create_graph=True)[0] * torch.cos(t)


@CATALOGUE.add(normal(3, 4))
class FirstOrderAlone(_Energy):
    """For inference: the derivative carries no graph of its own."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y.clone().requires_grad_(True)
            force = torch.autograd.grad(self.h(x).sum(), x)[0]
        return -force - 0.1 * y


@CATALOGUE.add(normal(3, 4))
class FirstOrderWithRetainedGraph(_Energy):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            x = y.requires_grad_(True)
            h = self.h(x)
            force = torch.autograd.grad(h, x, torch.ones_like(h), retain_graph=True)[0]
            return force * h


@CATALOGUE.add(normal(3, 3))
def divided_by_a_detached_norm(t: Tensor, y: Tensor) -> Tensor:
    return -y / (1 + y.norm(dim=-1, keepdim=True).detach())


@CATALOGUE.add(normal(3, 3))
def scaled_under_no_grad(t: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        scale = y.abs().amax(dim=-1, keepdim=True).clamp(min=1e-3)
    return torch.sin(y / scale) * scale


@CATALOGUE.add(normal(3, 3))
def constants_under_no_grad(t: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        grid = torch.linspace(0, 1, 3, dtype=y.dtype)
        weights = torch.exp(-grid)
        weights /= weights.sum()
    return -weights * y


@CATALOGUE.add(normal(3, 3))
def straight_through(t: Tensor, y: Tensor) -> Tensor:
    """Rounded forwards, the identity backwards."""
    steps = 0.2 * y + (torch.round(0.2 * y) - 0.2 * y).detach()
    return -y + steps


@CATALOGUE.add(normal(3, 3))
class FrozenFeatures(nn.Module):
    """A frozen encoder under no_grad and a head that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 6), nn.ReLU())
        self.head = nn.Linear(6, 3)

    @torch.no_grad()
    def features(self, y: Tensor) -> Tensor:
        return self.encoder(y)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.head(self.features(y))) - y


@CATALOGUE.add(normal(3, 3))
class TargetNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        target = nn.functional.linear(y, self.net.weight.detach(), self.net.bias.detach())
        return target - self.net(y) * t
