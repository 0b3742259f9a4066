"""Fields that read tables: forcing, controls, doses, schedules, and what a state looks up."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal
from flashode.paths import Cubic, Linear

CATALOGUE = Catalogue()
# Where a rate jumps inside a step, the error that chooses the next ones is much that rounding decides.
JUMPS = 1e-6


@CATALOGUE.add(normal(4, 3), tolerance=JUMPS)
class PiecewiseConstantControl(nn.Module):
    """One row of a learned table for each interval of time."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("knots", torch.linspace(0, 1, 6))
        self.table = nn.Parameter(torch.randn(5, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        i = torch.bucketize(t, self.knots).sub(1).clamp(0, 4)
        return self.table[i] - 0.5 * y


@CATALOGUE.add(normal(4, 3), tolerance=JUMPS)
class Forcing(nn.Module):
    """Measured at equal times, with lines between."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("u", torch.randn(3, 11))
        self.layer = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        place = t * 10
        i = place.floor().long().clamp(0, 9)
        u = self.u[:, i] + (place - i) * (self.u[:, i + 1] - self.u[:, i])
        return torch.tanh(self.layer(y)) + u


@CATALOGUE.add(normal(4, 2))
class Doses(nn.Module):
    """So much has been given so far."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.tensor([0.02, 0.07, 0.11]))
        self.amount = nn.Parameter(torch.tensor([0.5, 1.0, 2.0, 0.25]))
        self.rate = nn.Parameter(torch.tensor([0.3, 0.7]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        given = (t >= self.times).sum()
        return self.amount[given] * torch.tensor([1.0, 0.0], dtype=y.dtype) - y * self.rate


@CATALOGUE.add(normal(4, 3))
class PeriodicSchedule(nn.Module):
    """A stage of a cycle, which has an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Embedding(4, 5)
        self.net = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        stage = self.stages((t * 40).long() % 4)
        return self.net(torch.cat([y, stage.expand(len(y), -1)], -1))


@CATALOGUE.add(normal(4, 3), resizable=False)
class DrivenTrajectories(nn.Module):
    """Each by measurements of its own, at times of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("times", torch.rand(4, 7).sort(-1).values / 4)
        self.u = nn.Parameter(torch.randn(4, 8, 3))
        self.layer = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        i = torch.searchsorted(self.times, t.expand(y.shape[0], 1), right=True)
        u = torch.take_along_dim(self.u, i.unsqueeze(-1), 1).squeeze(1)
        return torch.tanh(self.layer(y)) * u


@CATALOGUE.add(normal(4, 3), resizable=False)
class SplineOfEach(nn.Module):
    """A neural controlled differential equation."""

    def __init__(self) -> None:
        super().__init__()
        t = torch.linspace(0, 0.3, 6)
        self.path = Cubic(t, torch.randn(4, 6, 2))
        self.response = nn.Linear(3, 6)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        matrix = self.response(y).tanh().unflatten(-1, (3, 2))
        return (matrix @ self.path.derivative(t).unsqueeze(-1)).squeeze(-1)


@CATALOGUE.add(normal(4, 3))
class LinesOfAll(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.path = Linear(torch.tensor([0.0, 0.01, 0.2]), torch.randn(3, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.path.evaluate(t) * torch.sin(y) + self.path.derivative(t)


@CATALOGUE.add(normal(4, 3))
class TableOfTheState(nn.Module):
    """A lookup table of a nonlinearity, with lines between its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("grid", torch.linspace(-2, 2, 9))
        self.values = nn.Parameter(torch.randn(9))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        i = (torch.searchsorted(self.grid, y.detach()) - 1).clamp(0, 7)
        share = (y - self.grid[i]) / (self.grid[i + 1] - self.grid[i])
        return self.values[i] + share * (self.values[i + 1] - self.values[i])


@CATALOGUE.add(normal(4, 3), tolerance=JUMPS)
class Regimes(nn.Module):
    """The matrix of the region that a state is in."""

    def __init__(self) -> None:
        super().__init__()
        self.matrices = nn.Parameter(0.5 * torch.randn(3, 3, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        region = (y[:, 0] > -0.3).long() + (y[:, 0] > 0.4).long()
        chosen = F.embedding(region, self.matrices.flatten(1)).unflatten(-1, (3, 3))
        return torch.einsum("bij,bj->bi", chosen, y)
