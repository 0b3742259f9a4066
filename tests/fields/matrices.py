"""Linear algebra in a field, sparse graphs, sorted features and recurrent layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


@CATALOGUE.add(normal(3, 4))
class Mechanical(nn.Module):
    """Lagrange's equations: a mass matrix that depends on positions, and one of parameters for friction."""

    def __init__(self) -> None:
        super().__init__()
        self.mass = nn.Linear(2, 4)
        self.friction = nn.Parameter(torch.eye(2) + 0.1 * torch.randn(2, 2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q, v = y.chunk(2, -1)
        half = self.mass(q).tanh().view(-1, 2, 2)
        mass = half @ half.mT + torch.eye(2).to(y)
        force = torch.linalg.solve(self.friction, v.unsqueeze(-1)).squeeze(-1)
        return torch.cat([v, torch.linalg.solve(mass, -q.sin() - 0.1 * force)], -1)


@CATALOGUE.add(normal(3, 3))
def natural_gradient() -> tuple[object, object]:
    """A flow in a metric, by its Cholesky factor, with the volume that it keeps."""
    weight = (0.3 * torch.randn(3, 3)).requires_grad_()

    def field(t: Tensor, y: Tensor) -> Tensor:
        x = torch.tanh(y @ weight)
        metric = x.unsqueeze(-1) * x.unsqueeze(-2) + torch.eye(3).to(y)
        factor = torch.linalg.cholesky(metric)
        slope = torch.cholesky_solve(y.sin().unsqueeze(-1), factor).squeeze(-1)
        return -slope * torch.logdet(metric).unsqueeze(-1)

    return field, [weight]


@CATALOGUE.add(normal(3, 3))
class Rotating(nn.Module):
    """A frame that turns with time."""

    def __init__(self) -> None:
        super().__init__()
        self.axis = nn.Parameter(torch.randn(3, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        frame = torch.linalg.matrix_exp((self.axis - self.axis.mT) * t)
        return torch.tanh(y @ frame) @ frame.mT - y


@CATALOGUE.add(normal(4, 2), batched=False)
class SparseDiffusion(nn.Module):
    """Diffusion on a graph."""

    def __init__(self) -> None:
        super().__init__()
        edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])
        sparse = torch.sparse_coo_tensor(edges, torch.rand(5), (4, 4), check_invariants=True)
        self.register_buffer("adjacency", sparse)
        self.layer = nn.Linear(2, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(torch.sparse.mm(self.adjacency, y))) - y


@CATALOGUE.add(normal(3, 4))
class Ranked(nn.Module):
    """Weights by rank."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return F.softmax(y.sort(-1, descending=True)[0] * self.weight, -1) - y


@CATALOGUE.add(normal(3, 4))
class Recurrent(nn.Module):
    """One step of recurrent layers."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 4, batch_first=True)
        self.lstm = nn.LSTM(4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        update, _ = self.gru(y.unsqueeze(1) * t)
        _, (hidden, _) = self.lstm(y.unsqueeze(0))
        return update.squeeze(1) + hidden[0] - y
