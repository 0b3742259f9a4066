"""A continuous normalizing flow learns the density of two circles by its exact likelihood.

Points flow from a standard normal distribution at t = 0 to the data at t = 1 along dy/dt = f(t, y); the
logarithm of their density changes at the rate -tr ∂f/∂y, which is solved along with them by
`flashode.transforms.with_divergence`. Chen et al., "Neural Ordinary Differential Equations", NeurIPS 2018,
section 4; Grathwohl et al., "FFJORD", ICLR 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import flashode
from flashode.experiments.training import Training, annealed
from flashode.transforms import with_divergence

RADII = (1.0, 2.0)
THICKNESS = 0.08  # standard deviation of the distance from a circle
WIDTH = 64
BATCH = 256
HELD_OUT_POINTS = 4096
UPDATES_PER_EPOCH = 100
EPOCHS = 15
# XORed into the seed of data that no training sees: into its low 32 bits, as torch ignores the others.
HELD_OUT = 0x9E3779B9
LEARNING_RATE = 3e-3
TOLERANCE = 1e-5
PANEL_TIMES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Velocity(nn.Module):
    """f(t, y) by a perceptron 3-width-width-2 with tanh, which sees the time beside the point."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The velocity of points (B, 2)."""
        time = t.expand(y.shape[0], 1)
        velocity: Tensor = self.net(torch.cat((y, time), 1))
        return velocity


class Density(nn.Module):
    """A density of points in the plane, as a flow of the normal one.

    Args:
        width: Of the velocity's hidden layers.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.velocity = Velocity(width)
        self._augmented = with_divergence(self.velocity)

    def log_density(self, points: Tensor, time: float = 1.0) -> Tensor:
        """The logarithm of the density of the flow at a time, at points (B, 2), of shape (B,)."""
        if time == 0.0:
            return log_normal(points)
        start = (points, points.new_zeros(len(points), 1))
        y, change = flashode.odeint(
            self._augmented, start, torch.tensor([time, 0.0]), method="dopri5", rtol=TOLERANCE, atol=TOLERANCE
        )
        log_density: Tensor = log_normal(y[-1]) - change[-1, :, 0]
        return log_density

    def sample(self, count: int, random: torch.Generator, times: tuple[float, ...] = (0.0, 1.0)) -> Tensor:
        """Where so many draws from the normal distribution are at times, (times, count, 2)."""
        start = torch.randn(count, 2, generator=random)
        with torch.no_grad():
            y: Tensor = flashode.odeint(
                self.velocity,
                start,
                torch.tensor(times),
                method="dopri5",
                rtol=TOLERANCE,
                atol=TOLERANCE,
            )
        return y


def log_normal(y: Tensor) -> Tensor:
    """The logarithm of the standard normal density at points (B, 2)."""
    return -0.5 * y.square().sum(-1) - math.log(2.0 * math.pi)


def draw(count: int, random: torch.Generator) -> Tensor:
    """Points about two circles, (count, 2)."""
    circle = torch.randint(0, len(RADII), (count,), generator=random)
    radius = torch.tensor(RADII)[circle] + THICKNESS * torch.randn(count, generator=random)
    angle = 2.0 * math.pi * torch.rand(count, generator=random)
    return torch.stack((radius * angle.cos(), radius * angle.sin()), 1)


def true_log_density(points: Tensor) -> Tensor:
    """Of the distribution that `draw` draws from, (B,): the most that a model can reach on average.

    In polar coordinates the distance is a mixture of normals; a negative one, a dozen standard deviations
    away, does not occur.
    """
    radius = points.norm(dim=1).clamp(min=1e-6)
    standard = (radius[:, None] - torch.tensor(RADII)) / THICKNESS
    each = -0.5 * standard.square() - math.log(THICKNESS * math.sqrt(2.0 * math.pi))
    mixture = each.logsumexp(1) - math.log(len(RADII))
    log_density: Tensor = mixture - (2.0 * math.pi * radius).log()
    return log_density


@dataclass(frozen=True)
class Epoch:
    """A density after so many epochs; 0 is the untrained one.

    Attributes:
        number: How many.
        log_likelihood: Mean over points held out, in nats.
    """

    number: int
    log_likelihood: float


def make_density(seed: int) -> Density:
    """The untrained density of a seed. The global random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return Density()


def held_out(seed: int) -> Tensor:
    """Points that no training sees, (4096, 2)."""
    return draw(HELD_OUT_POINTS, torch.Generator().manual_seed(seed ^ HELD_OUT))


def begin(seed: int) -> Training[Density]:
    """The training of a seed, which chooses weights and points, before its first epoch."""
    density = make_density(seed)
    optimizer = torch.optim.Adam(density.parameters(), lr=LEARNING_RATE)
    schedule = annealed(optimizer, EPOCHS * UPDATES_PER_EPOCH)
    return Training(density, {"width": WIDTH}, optimizer, torch.Generator().manual_seed(seed), schedule)


def train(
    training: Training[Density],
    test: Tensor,
    *,
    epochs: int,
    on_update: Callable[[float], None] = lambda loss: None,
) -> Iterator[Epoch]:
    """Maximises the likelihood of fresh points; yields the start and each epoch.

    Args:
        training: Of the density; one that has had epochs goes on.
        test: Points held out.
        epochs: How many times 100 updates there are to be, with those that it has had.
        on_update: Called after each update with the loss before it, minus the mean
            log-likelihood.
    """
    density = training.model
    if training.epoch == 0:
        yield Epoch(0, _mean(density, test))
    while training.epoch < epochs:
        for _ in range(UPDATES_PER_EPOCH):
            training.optimizer.zero_grad()
            loss = -density.log_density(draw(BATCH, training.random)).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            training.step()
            on_update(loss.item())
        training.epoch += 1
        yield Epoch(training.epoch, _mean(density, test))


def _mean(density: Density, points: Tensor) -> float:
    with torch.no_grad():
        return float(density.log_density(points).mean())
