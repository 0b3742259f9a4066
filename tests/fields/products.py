"""Products of the state with itself: bilinear forms, einsum, bmm, graphs, and attention between nodes."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


@CATALOGUE.add(normal(3, 4))
class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.form = nn.Bilinear(4, 4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.form(y, torch.tanh(y)) * 0.3


@CATALOGUE.add(normal(3, 4))
class Quadratic(nn.Module):
    """Coefficients of every product of two features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.randn(4, 4) * 0.3)
        self.quadratic = nn.Parameter(torch.randn(4, 4, 4) * 0.2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("ij,bj->bi", self.linear, y) + torch.einsum("ijk,bj,bk->bi", self.quadratic, y, y)


@CATALOGUE.add(normal(3, 4))
class QuadraticLibrary(nn.Module):
    """SINDy: a library of monomials times coefficients."""

    def __init__(self) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.randn(15, 4) * 0.1)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        terms = [torch.ones_like(y[:, 0])]
        terms += [y[:, i] for i in range(4)]
        terms += [y[:, i] * y[:, j] for i in range(4) for j in range(i, 4)]
        return torch.stack(terms, dim=1) @ self.coefficients


@CATALOGUE.add(normal(4))
def quadratic_form_of_one_vector() -> tuple[object, object]:
    tensor = (0.2 * torch.randn(4, 4, 4)).requires_grad_()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.einsum("ijk,j,k->i", tensor, y, y) - torch.dot(y, y) * y + torch.outer(y, y).sum(0)

    return field, [tensor]


@CATALOGUE.add(normal(3, 4))
def outer_product(t: Tensor, y: Tensor) -> Tensor:
    outer = y.unsqueeze(2) * y.unsqueeze(1)
    return (
        0.1 * torch.matmul(outer, y.unsqueeze(-1)).squeeze(-1) - torch.bmm(outer, y[..., None])[..., 0] * 0.2
    )


@CATALOGUE.add(normal(3, 4))
def inner_product(t: Tensor, y: Tensor) -> Tensor:
    energy = torch.einsum("bi,bi->b", y, y)
    return (
        -energy[:, None] * y
        + torch.bmm(y.unsqueeze(1), y.unsqueeze(2)).squeeze(1)
        + torch.linalg.vecdot(y, y.flip(1)).unsqueeze(-1)
    )


@CATALOGUE.add(normal(3, 4, 2))
class GraphConvolution(nn.Module):
    """Messages over a fixed adjacency matrix."""

    def __init__(self) -> None:
        super().__init__()
        adjacency = torch.tensor([[0, 1, 0, 1], [1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 1, 0]]).to(
            torch.get_default_dtype()
        )
        self.register_buffer("adjacency", adjacency / adjacency.sum(1, keepdim=True))
        self.self_weight = nn.Linear(2, 2)
        self.neighbour_weight = nn.Linear(2, 2, bias=False)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.self_weight(y) + self.neighbour_weight(self.adjacency @ y))


@CATALOGUE.add(normal(3, 4, 2))
class EdgeMessages(nn.Module):
    """Messages along a list of edges, gathered and added by index."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("source", torch.tensor([0, 1, 2, 3, 0]))
        self.register_buffer("target", torch.tensor([1, 2, 3, 0, 2]))
        self.message = nn.Linear(4, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        edges = torch.cat([y[:, self.source], y[:, self.target]], dim=-1)
        messages = torch.tanh(self.message(edges))
        return torch.zeros_like(y).index_add(1, self.target, messages)


@CATALOGUE.add(normal(3, 4, 2))
class AttentionByHand(nn.Module):
    """Attention between the four nodes of a trajectory."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(2, 3) for _ in range(3))
        self.out = nn.Linear(3, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q, k, v = self.q(y), self.k(y), self.v(y)
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
        return self.out(F.softmax(scores, dim=-1) @ v)


@CATALOGUE.add(normal(3, 4, 2))
class AttentionByEinsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(2, 12)
        self.out = nn.Linear(4, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        b, n, _ = y.shape
        q, k, v = self.qkv(y).view(b, n, 3, 2, 2).unbind(2)
        weights = torch.einsum("bnhd,bmhd->bhnm", q, k).softmax(-1)
        mixed = torch.einsum("bhnm,bmhd->bnhd", weights, v).reshape(b, n, 4)
        return self.out(mixed)


@CATALOGUE.add(normal(3, 4, 2))
class AttentionByTorch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(2, 6)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        q, k, v = self.qkv(y).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(q, k, v)


@CATALOGUE.add(normal(3, 4, 2))
class MultiheadAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(2, num_heads=2, batch_first=True)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        mixed, _ = self.attention(y, y, y, need_weights=False)
        return mixed - y


@CATALOGUE.add(normal(3, 4, 2))
class TransformerLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(2, nhead=1, dim_feedforward=4, dropout=0.0, batch_first=True)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layer(y) - y


@CATALOGUE.add(normal(3, 4))
class AttentionToAMemory(nn.Module):
    """A Hopfield network: softmax similarity with stored patterns."""

    def __init__(self) -> None:
        super().__init__()
        self.patterns = nn.Parameter(torch.randn(5, 4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.softmax(2.0 * y @ self.patterns.T, dim=-1) @ self.patterns - y


@CATALOGUE.add(normal(3, 4))
class RadialBasis(nn.Module):
    """Distances to fixed centres."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.randn(5, 4))
        self.out = nn.Linear(5, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        squared = ((y[:, None, :] - self.centres[None]) ** 2).sum(-1)
        return self.out(torch.exp(-0.3 * squared))


@CATALOGUE.add(normal(3, 4))
class MixtureOfExperts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 2)
        self.experts = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        gate = self.gate(y).softmax(-1)
        outputs = torch.stack([expert(y) for expert in self.experts], dim=-1)
        return (outputs * gate.unsqueeze(1)).sum(-1)


@CATALOGUE.add(normal(3, 4))
class ControlledByAPath(nn.Module):
    """A neural CDE: the net makes a matrix that multiplies the path's derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 8)
        self.register_buffer("slope", torch.randn(2))
        self.register_buffer("curve", torch.randn(2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        matrix = self.net(y).tanh().view(y.shape[0], 4, 2)
        derivative = self.slope + 2 * self.curve * t
        return (matrix @ derivative.unsqueeze(-1)).squeeze(-1) + torch.einsum("bij,j->bi", matrix, derivative)


@CATALOGUE.add(normal(3, 4))
class HyperMatrix(nn.Module):
    """A weight for each trajectory, made of the state, times the state."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 16)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        matrix = self.net(y).reshape(-1, 4, 4)
        skew = matrix - matrix.transpose(1, 2)
        return torch.baddbmm(y.unsqueeze(-1), skew, y.unsqueeze(-1), beta=-0.1).squeeze(-1)
