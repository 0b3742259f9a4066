"""A variational model of noisy spirals: a recurrent encoder, an ODE in a latent space, a decoder."""

import math

import torch
from torch import nn
from torch.nn import functional
from torchdiffeq import odeint

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)

SPIRALS, SEEN, LATENT, HIDDEN, NOISE = 24, 30, 4, 20, 0.3


def spirals():
    """Pieces of Archimedean spirals, half of them turning the other way, with noise."""
    angle = torch.linspace(0.0, 6 * math.pi, 200)
    turn = torch.stack([angle.cos(), angle.sin()], -1) * (0.5 + 0.3 * angle)[:, None]
    back = turn.flip(0) * torch.tensor([1.0, -1.0])
    first = torch.randint(0, 200 - SEEN, (SPIRALS,))
    pieces = [(turn if i % 2 else back)[at : at + SEEN] for i, at in enumerate(first.tolist())]
    clean = torch.stack(pieces)
    return clean + NOISE * torch.randn_like(clean), angle[:SEEN] / angle[SEEN - 1]


class Encoder(nn.Module):
    """Reads a trajectory from its end; gives mean and log variance of the latent state at its start."""

    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(2, HIDDEN)
        self.out = nn.Linear(HIDDEN, 2 * LATENT)

    def forward(self, samples):
        hidden = samples.new_zeros(len(samples), HIDDEN)
        for i in reversed(range(samples.shape[1])):
            hidden = self.cell(samples[:, i], hidden)
        return self.out(hidden).chunk(2, dim=-1)


class Dynamics(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, LATENT)])

    def forward(self, t, z):
        return self.layers[1](functional.elu(self.layers[0](z)))


def kl_to_standard_normal(mean, logvar):
    return 0.5 * (logvar.exp() + mean**2 - 1 - logvar).sum(-1)


samples, times = spirals()
encoder, dynamics = Encoder(), Dynamics()
decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2))
optimizer = torch.optim.Adam(nn.ModuleList([encoder, dynamics, decoder]).parameters(), lr=1e-2)

for update in range(5):
    optimizer.zero_grad()
    mean, logvar = encoder(samples)
    z0 = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
    z = odeint(dynamics, z0, times).permute(1, 0, 2)
    misfit = (decoder(z) - samples) / NOISE
    log_likelihood = -0.5 * (misfit**2 + math.log(2 * math.pi * NOISE**2)).sum((-1, -2))
    loss = (kl_to_standard_normal(mean, logvar) - log_likelihood).mean()
    loss.backward()
    optimizer.step()
    print("loss", update, loss.item())

with torch.no_grad():
    later = odeint(dynamics, encoder(samples)[0], torch.linspace(0.0, 2.0, 11))
    earlier = odeint(dynamics, encoder(samples)[0], torch.linspace(0.0, -0.5, 6))
    print("after", decoder(later[-1]).norm().item())
    print("before", decoder(earlier[-1]).norm().item())
