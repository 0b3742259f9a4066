"""Classical systems, each in several of the styles in which people write them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal, positive

CATALOGUE = Catalogue()


# Lotka–Volterra


@CATALOGUE.add(positive(4, 2))
class LotkaVolterra(nn.Module):
    """Rates as parameters; unbind and stack."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = nn.Parameter(torch.tensor([1.5, 1.0, 3.0, 1.0]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        prey, predator = y.unbind(-1)
        a, b, c, d = self.rates
        return torch.stack([a * prey - b * prey * predator, -c * predator + d * prey * predator], dim=-1)


@CATALOGUE.add(positive(2))
def lotka_volterra_of_one_vector(t: Tensor, y: Tensor) -> Tensor:
    x, z = y
    return torch.stack((1.5 * x - x * z, x * z - 3.0 * z))


@CATALOGUE.add(positive(4, 2))
def lotka_volterra_by_slices(t: Tensor, y: Tensor) -> Tensor:
    prey, predator = y[:, 0:1], y[:, 1:2]
    return torch.cat([1.5 * prey - prey * predator, prey * predator - 3 * predator], 1)


@CATALOGUE.add(positive(4, 2))
class LotkaVolterraByMatrix(nn.Module):
    """y * (r + A y)."""

    def __init__(self) -> None:
        super().__init__()
        self.r = nn.Parameter(torch.tensor([1.5, -3.0]))
        self.interaction = nn.Parameter(torch.tensor([[0.0, -1.0], [1.0, 0.0]]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y * (self.r + y @ self.interaction.t())


# Lorenz


@CATALOGUE.add(normal(5, 3), span=0.1)
def lorenz_unbind(t: Tensor, state: Tensor) -> Tensor:
    x, y, z = torch.unbind(state, dim=-1)
    return torch.stack([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z], dim=-1)


@CATALOGUE.add(normal(3), span=0.1)
def lorenz_by_indexing(t: Tensor, y: Tensor) -> Tensor:
    sigma, rho, beta = 10.0, 28.0, 8 / 3
    dy = torch.zeros_like(y)
    dy[0] = sigma * (y[1] - y[0])
    dy[1] = y[0] * (rho - y[2]) - y[1]
    dy[2] = y[0] * y[1] - beta * y[2]
    return dy


@CATALOGUE.add(normal(5, 3), span=0.1)
def lorenz_into_empty(t: Tensor, y: Tensor) -> Tensor:
    dy = torch.empty_like(y)
    dy[:, 0] = 10.0 * (y[:, 1] - y[:, 0])
    dy[:, 1] = y[:, 0] * (28.0 - y[:, 2]) - y[:, 1]
    dy[:, 2] = y[:, 0] * y[:, 1] - 2.5 * y[:, 2]
    return dy


@CATALOGUE.add(normal(5, 4), span=0.1)
def lorenz_with_rho_in_the_state(t: Tensor, s: Tensor) -> Tensor:
    x, y, z, rho = s.unbind(-1)
    return torch.stack([10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z, torch.zeros_like(rho)], -1)


@CATALOGUE.add(normal(5, 3), span=0.1)
class LorenzByMatrix(nn.Module):
    """A linear part and the quadratic terms."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor([[-10.0, 10.0, 0.0], [28.0, -1.0, 0.0], [0.0, 0.0, -8 / 3]]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        zero = torch.zeros_like(y[..., 0])
        quadratic = torch.stack([zero, -y[..., 0] * y[..., 2], y[..., 0] * y[..., 1]], dim=-1)
        return y @ self.a.mT + quadratic


@CATALOGUE.add(normal(2, 6), span=0.1)
def lorenz96(t: Tensor, y: Tensor) -> Tensor:
    return (torch.roll(y, -1, -1) - torch.roll(y, 2, -1)) * torch.roll(y, 1, -1) - y + 8.0


# Van der Pol


@CATALOGUE.add(normal(4, 2))
class VanDerPol(nn.Module):
    def __init__(self, mu: float = 1.5) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.tensor(mu))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        x, v = torch.split(y, 1, dim=-1)
        return torch.cat((v, self.mu * (1 - x**2) * v - x), dim=-1)


@CATALOGUE.add(normal(2))
def van_der_pol_forced(t: Tensor, y: Tensor) -> Tensor:
    drive = 1.2 * torch.cos(0.2 * math.pi * t)
    return torch.stack([y[1], 8.53 * (1.0 - y[0] ** 2) * y[1] - y[0] + drive])


@CATALOGUE.add(normal(4, 2))
def van_der_pol_by_view(t: Tensor, y: Tensor) -> Tensor:
    x, v = y.T
    return torch.vstack([v, (1 - x * x) * v - x]).T


# Pendulum


@CATALOGUE.add(normal(4, 2))
class Pendulum(nn.Module):
    """Damped, with the length and friction learned through their logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.log_length = nn.Parameter(torch.tensor(0.2))
        self.log_friction = nn.Parameter(torch.tensor(-1.0))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        theta, omega = y[..., 0], y[..., 1]
        acceleration = -9.81 / self.log_length.exp() * theta.sin() - self.log_friction.exp() * omega
        return torch.stack([omega, acceleration], dim=-1)


@CATALOGUE.add(normal(4, 4))
def double_pendulum(t: Tensor, y: Tensor) -> Tensor:
    a, b, u, v = torch.chunk(y, 4, dim=1)
    delta = b - a
    denominator = 2 - torch.cos(delta) ** 2
    du = (u**2 * delta.sin() * delta.cos() + 9.81 * b.sin() * delta.cos() + v**2 * delta.sin()) / denominator
    dv = -(v**2 * delta.sin() * delta.cos() + 2 * 9.81 * b.sin() + 2 * u**2 * delta.sin()) / denominator
    return torch.hstack([u, v, du - 2 * 9.81 * a.sin() / denominator, dv])


@CATALOGUE.add(normal(2))
def pendulum_with_torque(t: Tensor, y: Tensor) -> Tensor:
    theta, omega = y[0], y[1]
    torque = torch.where(theta.cos() > 0, -0.5 * omega, 0.3 * torch.sign(omega))
    return torch.stack((omega, torque - 9.81 * torch.sin(theta)))


# Robertson and other kinetics


@CATALOGUE.add(torch.tensor([[1.0, 1e-5, 0.1], [0.7, 2e-5, 0.3]], dtype=torch.float64), span=1e-3)
def robertson(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = y[..., 0], y[..., 1], y[..., 2]
    slow, fast, back = 0.04 * a, 3e7 * b * b * 1e-2, 1e4 * b * c
    return torch.stack([back - slow, slow - back - fast, fast], dim=-1)


@CATALOGUE.add(torch.tensor([1.0, 1e-5, 0.1], dtype=torch.float64), span=1e-3)
class RobertsonByStoichiometry(nn.Module):
    """Rates times a stoichiometric matrix, exponents in a matrix of logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.log_k = nn.Parameter(torch.tensor([0.04, 3e5, 1e4]).log())
        self.register_buffer("orders", torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 1.0, 1.0]]))
        self.register_buffer("change", torch.tensor([[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0], [1.0, -1.0, 0.0]]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        rates = torch.exp(self.log_k + self.orders @ torch.log(y))
        return rates @ self.change


@CATALOGUE.add(positive(4, 2))
def brusselator(t: Tensor, y: Tensor) -> Tensor:
    u, v = y.select(-1, 0), y.select(-1, 1)
    return torch.stack([1 + u.pow(2) * v - 4.0 * u, 3.0 * u - u.pow(2) * v], dim=1)


@CATALOGUE.add(positive(4, 2))
def michaelis_menten(t: Tensor, y: Tensor) -> Tensor:
    substrate, product = y.unbind(dim=1)
    v = 1.3 * substrate / (0.5 + substrate)
    return torch.stack((-v, v - 0.1 * product), dim=1)


# Epidemics


@CATALOGUE.add(positive(4, 3))
class SirRates(nn.Module):
    """Rates kept positive by softplus; total population from the state."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([0.3, -0.8]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        beta, gamma = torch.nn.functional.softplus(self.raw)
        s, i = y[..., 0:1], y[..., 1:2]
        n = y.sum(dim=-1, keepdim=True)
        infection = beta * s * i / n
        return torch.cat([-infection, infection - gamma * i, gamma * i], dim=-1)


@CATALOGUE.add(positive(3))
def sir_of_one_vector(t: Tensor, y: Tensor) -> Tensor:
    s, i, _ = y.unbind()
    return torch.stack([-0.9 * s * i, 0.9 * s * i - 0.2 * i, 0.2 * i])


@CATALOGUE.add(positive(4, 3))
class SirByIncidence(nn.Module):
    """Flows times an incidence matrix; the contact rate falls with time."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("incidence", torch.tensor([[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]]))
        self.beta = nn.Parameter(torch.tensor(0.9))
        self.gamma = 0.2

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        contact = self.beta * torch.exp(-0.3 * t)
        flows = torch.stack([contact * y[:, 0] * y[:, 1], self.gamma * y[:, 1]], dim=1)
        return torch.matmul(flows, self.incidence)


# Others


@CATALOGUE.add(normal(4, 2))
def fitzhugh_nagumo(t: Tensor, y: Tensor) -> Tensor:
    v, w = y[..., 0], y[..., 1]
    return torch.stack([v - v**3 / 3 - w + 0.5, 0.08 * (v + 0.7 - 0.8 * w)], dim=-1)


@CATALOGUE.add(normal(3, 8))
def heat_by_padding(t: Tensor, u: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(u, (1, 1))
    return padded[:, 2:] - 2 * u + padded[:, :-2]


@CATALOGUE.add(normal(2, 8))
def burgers_by_rolling(t: Tensor, u: Tensor) -> Tensor:
    right, left = torch.roll(u, -1, dims=1), torch.roll(u, 1, dims=1)
    return -u * (right - left) / 2 + 0.1 * (right - 2 * u + left)


@CATALOGUE.add(normal(2, 7))
def wave_by_differences(t: Tensor, u: Tensor) -> Tensor:
    inner = torch.diff(u, n=2, dim=-1)
    return torch.cat([u[:, :1] * 0, inner, u[:, -1:] * 0], dim=-1)


@CATALOGUE.add(normal(2, 5))
class Kuramoto(nn.Module):
    """Every phase against every other, within a trajectory."""

    def __init__(self) -> None:
        super().__init__()
        self.omega = nn.Parameter(torch.randn(5))
        self.coupling = nn.Parameter(torch.rand(5, 5))

    def forward(self, t: Tensor, theta: Tensor) -> Tensor:
        difference = theta.unsqueeze(-2) - theta.unsqueeze(-1)
        return self.omega + (self.coupling * torch.sin(difference)).mean(-1)


@CATALOGUE.add(normal(2, 12))
def three_bodies_in_a_plane(t: Tensor, state: Tensor) -> Tensor:
    """Pairwise softened gravity; positions and velocities of three bodies."""
    q, v = state.view(-1, 2, 3, 2).unbind(1)
    offset = q[:, None, :, :] - q[:, :, None, :]
    distance = (offset.pow(2).sum(-1, keepdim=True) + 0.1).sqrt()
    acceleration = (offset / distance**3).sum(2)
    return torch.stack([v, acceleration], dim=1).reshape(state.shape)


@CATALOGUE.add(normal(3, 6))
def rigid_body(t: Tensor, y: Tensor) -> Tensor:
    inertia = torch.tensor([1.0, 2.0, 3.0], dtype=y.dtype)
    momentum, axis = y[:, :3], y[:, 3:]
    omega = momentum / inertia
    return torch.cat([torch.cross(momentum, omega, dim=-1), torch.linalg.cross(axis, omega)], dim=-1)


@CATALOGUE.add(normal(4))
def springs_by_mv(t: Tensor, y: Tensor) -> Tensor:
    stiffness = torch.tensor([[-2.0, 1.0], [1.0, -2.0]], dtype=y.dtype)
    x, v = y[:2], y[2:]
    return torch.cat([v, stiffness.mv(x) - 0.1 * v])
