"""A latent ODE learns spirals of two senses from short noisy pieces, and continues them.

Each of many Archimedean spirals, turning one way or the other, is seen at 100 noisy points of a piece of it.
A recurrent network reads a piece backwards into the distribution of a latent state; that flows along a neural
ODE, and points are read out of it. Trained as a variational autoencoder. Chen et al., "Neural Ordinary
Differential Equations", NeurIPS 2018, section 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import flashode
from flashode.experiments.training import Training, annealed

SPIRALS = 500
TURNS = 3.0
GROWTH = 0.3 / (2.0 * math.pi)  # of the radius, a radian
FIRST_RADIUS = 0.3
POINTS = 1000  # of a whole spiral
SEEN = 100  # points of a piece
AHEAD = 200  # as many again, twice, that a prediction goes on for
NOISE = 0.1

LATENT = 4
HIDDEN = 20
MEMORY = 25  # of the recurrent network

BATCH = 250
UPDATES_PER_EPOCH = 50
EPOCHS = 20
# XORed into the seed of data that no training sees: into its low 32 bits, as torch ignores the others.
HELD_OUT = 0x9E3779B9
LEARNING_RATE = 0.01
TOLERANCE = 1e-5
_SPACING = 2.0 * math.pi * TURNS / POINTS


@dataclass(frozen=True)
class Spirals:
    """Pieces of spirals.

    Attributes:
        times: Of the points seen, from the start of a piece, (100,).
        later: The same and of those that follow, (300,).
        seen: Noisy points, (spirals, 100, 2).
        truth: Those points and the ones that follow, without noise, (spirals, 300, 2).
        clockwise: Which spirals turn that way, (spirals,).
    """

    times: Tensor
    later: Tensor
    seen: Tensor
    truth: Tensor
    clockwise: Tensor


def draw(count: int, random: torch.Generator) -> Spirals:
    """Pieces of so many spirals, which start anywhere that leaves room for what follows."""
    length = SEEN + AHEAD
    first = torch.randint(0, POINTS - length, (count,), generator=random)
    angles = _SPACING * (first[:, None] + torch.arange(length))
    radii = FIRST_RADIUS + GROWTH * angles
    clockwise = torch.rand(count, generator=random) < 0.5
    sense = torch.where(clockwise, -1.0, 1.0)[:, None]
    truth = torch.stack((radii * angles.cos(), sense * radii * angles.sin()), -1)
    seen = truth[:, :SEEN] + NOISE * torch.randn(count, SEEN, 2, generator=random)
    later = _SPACING * torch.arange(length)
    return Spirals(later[:SEEN], later, seen, truth, clockwise)


class Dynamics(nn.Module):
    """dz/dt by a perceptron with two hidden layers and ELU."""

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.ELU(),
            nn.Linear(hidden, hidden),
            nn.ELU(),
            nn.Linear(hidden, latent),
        )

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """The rate of latent states (B, latent)."""
        rate: Tensor = self.net(z)
        return rate


class LatentODE(nn.Module):
    """Reads pieces, and predicts points at any time.

    Args:
        latent: Dimensions of the latent state.
        hidden: Width of the hidden layers.
        memory: Width of the recurrent network.
    """

    def __init__(self, latent: int = LATENT, hidden: int = HIDDEN, memory: int = MEMORY) -> None:
        super().__init__()
        self.reader = nn.GRU(2, memory, batch_first=True)
        self.distribution = nn.Linear(memory, 2 * latent)
        self.dynamics = Dynamics(latent, hidden)
        self.points = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def encode(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latent state at the start of pieces, (B, 4) each."""
        _, memory = self.reader(seen.flip(1))
        mean, log_variance = self.distribution(memory[0]).chunk(2, -1)
        return mean, log_variance

    def decode(self, z: Tensor, times: Tensor) -> Tensor:
        """Points at times from latent states at time 0, (times, B, 2)."""
        states = flashode.odeint(self.dynamics, z, times, method="dopri5", rtol=TOLERANCE, atol=TOLERANCE)
        points: Tensor = self.points(states)
        return points


def evidence(model: LatentODE, spirals: Spirals, which: Tensor, random: torch.Generator) -> Tensor:
    """The lower bound of the log-likelihood of pieces, in nats a piece: the mean over them, 0-d.

    Args:
        model: The model.
        spirals: The data.
        which: Indices of pieces.
        random: Draws the latent states.
    """
    seen = spirals.seen[which]
    mean, log_variance = model.encode(seen)
    z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=random)
    error = model.decode(z, spirals.times).transpose(0, 1) - seen
    log_likelihood = -0.5 * (error / NOISE).square() - math.log(NOISE * math.sqrt(2.0 * math.pi))
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
    return (log_likelihood.sum((1, 2)) - divergence.sum(1)).mean()


@dataclass(frozen=True)
class Epoch:
    """A model after so many epochs; 0 is the untrained one.

    Attributes:
        number: How many.
        evidence: The bound for spirals held out, in nats a piece.
        within: Root mean square error where points were seen, to the truth.
        ahead: The same where none were.
    """

    number: int
    evidence: float
    within: float
    ahead: float


def make_model(seed: int) -> LatentODE:
    """The untrained model of a seed. The global random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return LatentODE()


def predict(model: LatentODE, spirals: Spirals) -> Tensor:
    """Points from the mean latent states, where they were seen and after, (spirals, 300, 2)."""
    with torch.no_grad():
        mean, _ = model.encode(spirals.seen)
        return model.decode(mean, spirals.later).transpose(0, 1)


def held_out(seed: int) -> Spirals:
    """Spirals that no training sees."""
    return draw(SPIRALS, torch.Generator().manual_seed(seed ^ HELD_OUT))


def data(seed: int) -> tuple[Spirals, torch.Generator]:
    """Spirals to train on, and the generator that drew them, for what training draws."""
    random = torch.Generator().manual_seed(seed)
    return draw(SPIRALS, random), random


def begin(seed: int) -> Training[LatentODE]:
    """The training of a seed, which chooses weights, data and all that is drawn, before its first epoch."""
    model = make_model(seed)
    config = {"latent": LATENT, "hidden": HIDDEN, "memory": MEMORY}
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    return Training(model, config, optimizer, data(seed)[1], annealed(optimizer, EPOCHS * UPDATES_PER_EPOCH))


def train(
    training: Training[LatentODE],
    spirals: Spirals,
    test: Spirals,
    *,
    epochs: int,
    on_update: Callable[[float], None] = lambda loss: None,
) -> Iterator[Epoch]:
    """Maximises the evidence; yields the start and each epoch.

    Args:
        training: Of the model; one that has had epochs goes on.
        spirals: What it is trained on.
        test: Spirals held out.
        epochs: How many times 50 updates there are to be, with those that it has had.
        on_update: Called after each update with the loss before it, minus the evidence.
    """
    model, random = training.model, training.random
    if training.epoch == 0:
        yield _evaluate(model, test, 0)
    while training.epoch < epochs:
        for _ in range(UPDATES_PER_EPOCH):
            which = torch.randperm(SPIRALS, generator=random)[:BATCH]
            training.optimizer.zero_grad()
            loss = -evidence(model, spirals, which, random)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1e4)
            training.step()
            on_update(loss.item())
        training.epoch += 1
        yield _evaluate(model, test, training.epoch)


def _evaluate(model: LatentODE, spirals: Spirals, number: int) -> Epoch:
    with torch.no_grad():
        bound = evidence(model, spirals, torch.arange(len(spirals.seen)), torch.Generator().manual_seed(0))
    error = (predict(model, spirals) - spirals.truth).square().sum(-1)
    within, ahead = error[:, :SEEN].mean().sqrt(), error[:, SEEN:].mean().sqrt()
    return Epoch(number, bound.item(), within.item(), ahead.item())
