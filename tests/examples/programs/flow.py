"""A continuous normalizing flow on two circles: weights made from the time, the trace by autograd."""

import math

import torch
from torch import nn
from torchdiffeq import odeint_adjoint as odeint

torch.manual_seed(2)
torch.set_default_dtype(torch.float64)

SAMPLES, WIDTH, HIDDEN, END = 64, 8, 16, 4.0


class Weights(nn.Module):
    """Makes the weights of a layer of `WIDTH` rank-one units from the time."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 7 * WIDTH))

    def forward(self, t):
        into, out, gate, bias = (
            self.net(t.reshape(1, 1)).squeeze(0).split([2 * WIDTH, 2 * WIDTH, 2 * WIDTH, WIDTH])
        )
        out = out * gate.sigmoid()
        return into.view(WIDTH, 2, 1), bias.view(WIDTH, 1, 1), out.view(WIDTH, 1, 2)


class Flow(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = Weights()

    def forward(self, t, state):
        z = state[0]
        with torch.enable_grad():
            z.requires_grad_(True)
            into, bias, out = self.weights(t)
            units = torch.tanh(z.unsqueeze(0).repeat(WIDTH, 1, 1) @ into + bias)
            dz = (units @ out).mean(0)
            divergence = torch.zeros(len(z))
            for i in range(z.shape[1]):
                divergence = divergence + torch.autograd.grad(dz[:, i].sum(), z, create_graph=True)[0][:, i]
        return dz, -divergence.view(-1, 1)


def two_circles(count):
    """Points on an inner and an outer circle, with noise."""
    angle = 2 * math.pi * torch.rand(count)
    radius = torch.where(torch.arange(count) % 2 == 0, 1.0, 0.5)
    points = torch.stack([angle.cos(), angle.sin()], -1) * radius[:, None]
    return points + 0.06 * torch.randn(count, 2)


flow = Flow()
optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
base = torch.distributions.MultivariateNormal(torch.zeros(2), 0.1 * torch.eye(2))
for update in range(4):
    optimizer.zero_grad()
    x = two_circles(SAMPLES)
    times = torch.tensor([END, 0.0])
    z, change = odeint(flow, (x, torch.zeros(SAMPLES, 1)), times, atol=1e-7, rtol=1e-7, method="dopri5")
    loss = -(base.log_prob(z[-1]) - change[-1].squeeze(-1)).mean()
    loss.backward()
    optimizer.step()
    print("loss", update, loss.item())

with torch.no_grad():
    drawn = base.sample((SAMPLES,))
    times = torch.linspace(0.0, END, 5)
    points, _ = odeint(flow, (drawn, torch.zeros(SAMPLES, 1)), times, atol=1e-7, rtol=1e-7)
    print("drawn", points[-1].norm(dim=-1).mean().item())
