"""Fields that differentiate inside: energies, exact and estimated divergences, normalizing flows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, autograd, nn

from fields.catalogue import Catalogue, normal
from fields.time import ConcatSquashLinear

CATALOGUE = Catalogue()


def _energy(features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, 6), nn.Tanh(), nn.Linear(6, 1))


@CATALOGUE.add(normal(3, 4))
class HamiltonianNet(nn.Module):
    """A Hamiltonian neural network: dq = dH/dp, dp = -dH/dq."""

    def __init__(self) -> None:
        super().__init__()
        self.h = _energy(4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_(True)
            energy = self.h(y).sum()
            (gradient,) = torch.autograd.grad(energy, y, create_graph=True)
        dq, dp = torch.chunk(gradient, 2, dim=-1)
        return torch.cat([dp, -dq], dim=-1)


@CATALOGUE.add(normal(4))
class HamiltonianOfOneVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.h = _energy(4)
        self.register_buffer("j", torch.kron(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), torch.eye(2)))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.set_grad_enabled(True):
            y.requires_grad_()
            gradient = torch.autograd.grad(self.h(y), y, create_graph=True)[0]
            return self.j @ gradient


@CATALOGUE.add((normal(3, 2), normal(3, 2, seed=2)))
class HamiltonianOfATuple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.potential = _energy(2)
        self.mass = nn.Parameter(torch.tensor(1.3))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        q, p = state
        with torch.enable_grad():
            q.requires_grad_(True)
            p.requires_grad_(True)
            h = self.potential(q).sum() + (p**2).sum() / (2 * self.mass)
            dq, dp = torch.autograd.grad(h, (q, p), create_graph=True)
        return dp, -dq


@CATALOGUE.add(normal(3, 2))
def analytic_hamiltonian(t: Tensor, y: Tensor) -> Tensor:
    """A double well, written as an energy."""
    with torch.enable_grad():
        y = y.requires_grad_()
        q, p = y[:, 0], y[:, 1]
        h = p**2 / 2 + q**4 / 4 - q**2 / 2
        g = torch.autograd.grad(h.sum(), y, create_graph=True)[0]
    return torch.stack([g[:, 1], -g[:, 0]], dim=1)


@CATALOGUE.add(normal(3, 3))
class GradientFlow(nn.Module):
    """Descent on a learned potential that depends on time."""

    def __init__(self) -> None:
        super().__init__()
        self.potential = _energy(4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_(True)
            v = self.potential(torch.cat([y, t.expand(len(y), 1)], 1)) + 0.1 * y.square().sum(1, keepdim=True)
            return -autograd.grad(v, y, grad_outputs=torch.ones_like(v), create_graph=True)[0]


@CATALOGUE.add(normal(3, 3), span=0.1)
def gradient_flow_in_closed_form(t: Tensor, y: Tensor) -> Tensor:
    """The Rosenbrock function's gradient."""
    with torch.enable_grad():
        y = y.requires_grad_(True)
        a, b = y[..., :-1], y[..., 1:]
        f = ((1 - a).pow(2) + (b - a.square()).pow(2)).sum()
        return -torch.autograd.grad([f], [y], create_graph=True)[0]


@CATALOGUE.add(normal(3, 4))
class DissipativeHamiltonian(nn.Module):
    """Two networks and two gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.h = _energy(4)
        self.d = nn.Sequential(nn.Linear(4, 5), nn.SiLU(), nn.Linear(5, 1))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.requires_grad_(True)
            dh = torch.autograd.grad(self.h(x).sum(), x, create_graph=True)[0]
            dd = torch.autograd.grad(self.d(x).sum(), x, create_graph=True)[0]
        irrotational = torch.cat(torch.split(dd, 2, dim=1), dim=1)
        q, p = torch.split(dh, 2, dim=1)
        return torch.cat([p, -q], dim=1) + irrotational


class Velocity(nn.Module):
    """A net of the state and time."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features + 1, 6), nn.Tanh(), nn.Linear(6, features))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([y, t.expand(y.shape[0], 1)], dim=1))


def _exact_divergence(f: Tensor, y: Tensor) -> Tensor:
    total = 0.0
    for i in range(y.shape[1]):
        total = total + torch.autograd.grad(f[:, i].sum(), y, create_graph=True)[0][:, i]
    return total


@CATALOGUE.add((normal(4, 2), normal(4, 1, seed=2)))
class ExactDivergence(nn.Module):
    """A continuous normalizing flow with the trace found by a loop over dimensions."""

    def __init__(self) -> None:
        super().__init__()
        self.velocity = Velocity(2)

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y = states[0]
        with torch.set_grad_enabled(True):
            y.requires_grad_(True)
            dy = self.velocity(t, y)
            divergence = _exact_divergence(dy, y).view(y.shape[0], 1)
        return dy, -divergence


@CATALOGUE.add(normal(4, 3))
class ExactDivergenceInTheState(nn.Module):
    """The log-density as the last feature of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.velocity = Velocity(2)

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        with torch.enable_grad():
            y = state[:, :-1].requires_grad_(True)
            dy = self.velocity(t, y)
            trace = sum(
                torch.autograd.grad(dy[..., i], y, torch.ones_like(dy[..., i]), create_graph=True)[0][..., i]
                for i in range(2)
            )
        return torch.cat([dy, -trace.unsqueeze(-1)], dim=-1)


@CATALOGUE.add((normal(4, 3), normal(4, seed=2)))
def hutchinson() -> nn.Module:
    """The trace estimated with a probe that stays the same throughout a solve."""

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.velocity = Velocity(3)
            self.register_buffer("probe", torch.randint(0, 2, (1, 3)) * 2.0 - 1.0)

        def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            y, _ = states
            with torch.enable_grad():
                y = y.requires_grad_(True)
                dy = self.velocity(t, y)
                e = self.probe.expand_as(y)
                e_dzdx = torch.autograd.grad(dy, y, e, create_graph=True)[0]
            return dy, -(e_dzdx * e).sum(dim=1)

    return Field()


@CATALOGUE.add((normal(4, 3), normal(4, 1, seed=2)), resizable=False)
def hutchinson_with_a_probe_for_each() -> tuple[nn.Module, Any]:
    """As FFJORD does it: the probe has the shape of the batch."""

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.velocity = Velocity(3)
            self._e = torch.randn(4, 3)

        def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            y = states[0]
            with torch.set_grad_enabled(True):
                y.requires_grad_(True)
                dy = self.velocity(t, y)
                estimate = torch.autograd.grad(dy, y, self._e, create_graph=True)[0].mul(self._e)
                return dy, -estimate.view(y.shape[0], -1).sum(1, keepdim=True)

    return Field(), ()


@CATALOGUE.add((normal(4, 2), normal(4, 1, seed=2)))
class Ffjord(nn.Module):
    """Concat-squash layers and the exact trace."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [ConcatSquashLinear(2, 6), ConcatSquashLinear(6, 6), ConcatSquashLinear(6, 2)]
        )

    def net(self, t: Tensor, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            x = layer(t, x)
            if i < len(self.layers) - 1:
                x = nn.functional.softplus(x)
        return x

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        x = states[0]
        with torch.enable_grad():
            x.requires_grad_(True)
            t.requires_grad_(True)
            dx = self.net(t, x)
            divergence = _exact_divergence(dx, x)[:, None]
        return dx, -divergence


class HyperNetwork(nn.Module):
    """Weights of a planar flow as a function of time."""

    def __init__(self, features: int, hidden: int, width: int) -> None:
        super().__init__()
        self.features, self.width, self.block = features, width, width * features
        self.net = nn.Sequential(
            nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
            nn.Linear(hidden, 3 * self.block + width),
        )  # fmt: skip

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = self.net(t.reshape(1, 1)).reshape(-1)
        w = weights[: self.block].reshape(self.width, self.features, 1)
        u = weights[self.block : 2 * self.block].reshape(self.width, 1, self.features)
        gate = weights[2 * self.block : 3 * self.block].reshape(self.width, 1, self.features)
        b = weights[3 * self.block :].reshape(self.width, 1, 1)
        return w, b, u * torch.sigmoid(gate)


@CATALOGUE.add((normal(5, 2), normal(5, 1, seed=2)))
class PlanarCnf(nn.Module):
    """A planar flow of width 64 whose weights a hypernetwork makes of time; the trace by autograd."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 64
        self.hyper = HyperNetwork(2, 32, self.width)

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z = states[0]
        with torch.set_grad_enabled(True):
            z.requires_grad_(True)
            w, b, u = self.hyper(t)
            copies = z.unsqueeze(0).repeat(self.width, 1, 1)
            hidden = torch.tanh(torch.matmul(copies, w) + b)
            dz = torch.matmul(hidden, u).mean(0)
            dlogp = -_exact_divergence(dz, z).view(z.shape[0], 1)
        return dz, dlogp


@CATALOGUE.add((normal(4, 3), normal(4, 1, seed=2)))
class PlanarFlow(nn.Module):
    """The trace of a planar flow written down instead of differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3))
        self.u = nn.Parameter(torch.randn(3))
        self.b = nn.Parameter(torch.randn(1))

    def forward(self, t: Tensor, states: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        z = states[0]
        hidden = torch.tanh(z @ self.w + self.b)
        dz = hidden[:, None] * self.u
        trace = (1 - hidden**2) * (self.u * self.w).sum()
        return dz, -trace[:, None]


@CATALOGUE.add((normal(4, 2), normal(4, 1, seed=2), normal(4, 1, seed=3)))
class RegularisedFlow(nn.Module):
    """RNODE: log-density, and the Frobenius norm of the Jacobian estimated beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.velocity = Velocity(2)
        self.register_buffer("e", torch.randn(2))

    def forward(self, t: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = states[0]
        with torch.enable_grad():
            x = x.requires_grad_(True)
            dx = self.velocity(t, x)
            vjp = torch.autograd.grad(dx, x, self.e.expand_as(dx), create_graph=True, retain_graph=True)[0]
        trace = (vjp * self.e).sum(-1, keepdim=True)
        return dx, -trace, vjp.pow(2).sum(-1, keepdim=True)


@CATALOGUE.add(normal(3, 2))
class LagrangianNet(nn.Module):
    """A scalar system: acceleration from second derivatives of a Lagrangian."""

    def __init__(self) -> None:
        super().__init__()
        self.lagrangian = _energy(2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            q, v = (part.requires_grad_(True) for part in y.split(1, dim=-1))
            value = self.lagrangian(torch.cat([q, v], -1)).sum() + (v**2).sum()
            dq, dv = torch.autograd.grad(value, (q, v), create_graph=True)
            dvq, dvv = torch.autograd.grad(dv.sum(), (q, v), create_graph=True)
        return torch.cat([v, (dq - dvq * v) / dvv], dim=-1)


@CATALOGUE.add(normal(3, 2))
class ScoreFromEnergy(nn.Module):
    """The probability-flow ODE of an energy-based score."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = _energy(3)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.requires_grad_(True)
            e = self.energy(torch.cat([x, t.repeat(x.shape[0], 1)], dim=-1))
            score = -torch.autograd.grad(e.sum(), x, create_graph=True, allow_unused=True)[0]
        beta = 0.1 + 0.9 * t
        return -0.5 * beta * (x + score)
