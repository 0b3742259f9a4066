"""States of every shape: vectors, batches, nodes, scalars and tuples."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y) * torch.cos(t)


CATALOGUE.add(normal(3), name="one vector")(Net)
CATALOGUE.add(normal(5, 3), name="batch of vectors")(Net)
CATALOGUE.add(normal(1, 3), name="batch of one")(Net)
CATALOGUE.add(normal(5, 1, 3), name="batch with a dimension of one")(Net)
CATALOGUE.add(normal(2, 4, 3), name="nodes with one net")(Net)
CATALOGUE.add(normal(2, 2, 2, 3), name="grid of nodes with one net")(Net)


@CATALOGUE.add(torch.tensor(0.7, dtype=torch.float64))
def scalar_state(t: Tensor, y: Tensor) -> Tensor:
    return torch.sin(t) - y * y


@CATALOGUE.add(torch.tensor(0.7, dtype=torch.float64))
class ScalarRate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(-0.4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.rate * y


@CATALOGUE.add(torch.tensor(0.7, dtype=torch.float64))
class ScalarThroughANet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.stack([t, y])).squeeze()


@CATALOGUE.add(normal(1))
def vector_of_one(t: Tensor, y: Tensor) -> Tensor:
    return -y + t


@CATALOGUE.add(normal(6), batched=False)
def vector_of_scalars(t: Tensor, y: Tensor) -> Tensor:
    return -y.sin() * t


@CATALOGUE.add(normal(2, 4, 3))
class LayerForEachNode(nn.Module):
    """A weight for each node, by ``einsum``."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3) / 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("nij,bnj->bni", self.weight, y).tanh()


@CATALOGUE.add(normal(2, 4, 3))
class MixingNodesAndFeatures(nn.Module):
    """An MLP mixer: one layer over the nodes, one over the features."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = nn.Linear(4, 4)
        self.features = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        y = y + self.nodes(y.transpose(1, 2)).transpose(1, 2).tanh()
        return self.features(y)


@CATALOGUE.add(normal(3, 4))
class FlattenedAndBack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Unflatten(1, (2, 2)), nn.Linear(2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6, 4)
        )

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


@CATALOGUE.add(normal(3, 2, 2))
def matrices(t: Tensor, x: Tensor) -> Tensor:
    """A matrix-valued state: the Lyapunov equation."""
    a = torch.tensor([[-1.0, 0.4], [0.2, -0.5]], dtype=x.dtype)
    return a @ x + x @ a.T + torch.eye(2, dtype=x.dtype)


@CATALOGUE.add(normal(2, 2), batched=False)
def one_matrix(t: Tensor, x: Tensor) -> Tensor:
    """Riccati: the rows are no independent trajectories."""
    return -x @ x + torch.eye(2, dtype=x.dtype)


@CATALOGUE.add((normal(4, 3), normal(4, 1, seed=2)))
class TupleOfTwo(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()
        self.rate = nn.Parameter(torch.tensor([0.4]))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, z = state
        return self.net(t, y), self.rate * y.sum(dim=-1, keepdim=True) - 0.1 * z


@CATALOGUE.add((normal(2), normal(2, seed=2)))
def tuple_of_vectors(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Position and velocity."""
    q, p = state
    return p, -q.sin()


@CATALOGUE.add((normal(3, 2), normal(3, 2, seed=2)))
def tuple_by_index(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (state[1] * 1.0, -state[0] - 0.1 * state[1] * torch.cos(t))


@CATALOGUE.add((normal(3, 4), normal(3, seed=2), normal(3, 1, seed=3)))
def tuple_of_three_shapes(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    y, _, spare = state
    dy = torch.tanh(y.flip(-1))
    return dy, (dy**2).sum(-1), torch.zeros_like(spare)


@CATALOGUE.add((torch.tensor(0.3, dtype=torch.float64), torch.tensor(0.9, dtype=torch.float64)))
def tuple_of_scalars(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    position, speed = state
    return speed, -9.81 * torch.sin(position)


@CATALOGUE.add((normal(4, 3), normal(4, seed=2)))
class KineticEnergyRegularised(nn.Module):
    """RNODE: the second component integrates the squared speed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        dy = self.net(t, state[0])
        return dy, 0.5 * dy.pow(2).mean(dim=-1)
