"""Products: with parameters from either side, of computed matrices, and sums of products."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import Field, agrees, must_capture, random
from capture.exactly import D, lowers
from flashode.program import Dense, DenseDynamic, SegmentSum

W = random(3, 3, seed=5).requires_grad_()
STACK = random(4, 3, 3, seed=6).requires_grad_()


def rotation(t: Tensor) -> Tensor:
    return torch.stack([t.cos(), t.sin(), t, -t.sin(), t.cos(), t * t, t, 1 - t, t.exp()]).view(3, 3)


def matrices(y: Tensor) -> Tensor:
    return y[:, :, None] * y.sin()[:, None, :] + W


VECTORS: dict[str, Field] = {
    "matrix of time": lambda t, y: y @ rotation(t),
    "matrix of time from the left": lambda t, y: (rotation(t) @ y.T).T,
    "matrix of time with a bias": lambda t, y: torch.addmm(
        rotation(t)[0], y, rotation(t), beta=0.5, alpha=2.0
    ),
    "bias over nothing": lambda t, y: torch.addmm(torch.full((3,), torch.nan, dtype=D), y, W, beta=0),
    "matrix of the state": lambda t, y: torch.bmm(matrices(y), y[:, :, None])[:, :, 0],
    "row and matrix": lambda t, y: (y[:, None, :] @ matrices(y))[:, 0],
    "matvec": lambda t, y: torch.einsum("bij,bj->bi", matrices(y), y),
    "quadratic form": lambda t, y: torch.einsum("bi,ij,bj->b", y, W, y)[:, None] * y,
    "bilinear": lambda t, y: torch.einsum("bi,kij,bj->bk", y, STACK[:3], y.sin()),
    "inner product": lambda t, y: (y * y.sin()).sum(-1, keepdim=True) * y,
    "vecdot": lambda t, y: torch.linalg.vecdot(y, y.sin())[:, None] * y,
    "outer": lambda t, y: (y[:, :, None] @ y[:, None, :]).sum(-1),
    "outer by einsum": lambda t, y: torch.einsum("bi,bj->bij", y, y.sin()).mean(1),
    "cross": lambda t, y: torch.linalg.cross(y, y.sin()) + torch.cross(y, W[0].expand_as(y), dim=-1),
    "baddbmm": lambda t, y: torch.baddbmm(y[:, :, None], matrices(y), y[:, :, None], beta=0.3)[:, :, 0],
    "only parameters": lambda t, y: y @ (W @ W.T) + torch.einsum("ij,ij->i", W, W),
    "tensordot": lambda t, y: torch.tensordot(y, W, dims=1),
    "linear of time": lambda t, y: torch.nn.functional.linear(y, rotation(t), rotation(t)[1]),
    "outer of time": lambda t, y: y @ torch.outer(rotation(t)[0], W[1]),
    "addr": lambda t, y: y @ torch.addr(W, rotation(t)[0], W[1], beta=0.5),
    "matrix powers": lambda t, y: y @ torch.linalg.matrix_power(rotation(t), 3),
    "chain": lambda t, y: torch.linalg.multi_dot([y, rotation(t), W]),
    "addbmm": lambda t, y: y @ torch.addbmm(W, STACK, rotation(t).expand(4, 3, 3)),
    "matrix exponential of parameters": lambda t, y: y @ torch.linalg.matrix_exp(W),
}

NODES: dict[str, Field] = {
    "gram": lambda t, y: (y @ y.mT) @ y,
    "shared matrix of time": lambda t, y: y @ rotation(t),
    "mixing by time": lambda t, y: torch.einsum("ij,bjk->bik", rotation(t), y[:, :3]).repeat(1, 2, 1)[:, :4],
    "weights of each node": lambda t, y: torch.einsum("bnd,nde->bne", y, STACK),
    "weights of each node by bmm": lambda t, y: torch.bmm(y.transpose(0, 1), STACK).transpose(0, 1),
    "low rank": lambda t, y: y @ W[:, :1] @ W[:1] + (y @ y[:, :1].mT) * y,
    "pairwise": lambda t, y: (y[:, :, None] - y[:, None]).pow(2).sum(-1).neg().exp() @ y,
    "normalised adjacency": lambda t, y: torch.softmax(y @ y.mT, -1) @ y,
    "covariance": lambda t, y: y @ torch.einsum("bni,bnj->bij", y, y),
}


@pytest.mark.parametrize("name", VECTORS)
def test_of_vectors(name: str) -> None:
    lowers(VECTORS[name], random(4, 3), (), [W, STACK], rtol=1e-9)


@pytest.mark.parametrize("name", NODES)
def test_of_nodes(name: str) -> None:
    lowers(NODES[name], random(5, 4, 3), (), [W, STACK], rtol=1e-9)


# Torch's own derivative in a bias over nothing is no number.
@pytest.mark.parametrize("name", sorted(VECTORS.keys() - {"bias over nothing"}))
def test_derivative_of_vectors(name: str) -> None:
    lowers(_slope(VECTORS[name]), random(4, 3), (), [W, STACK], rtol=1e-8)


@pytest.mark.parametrize("name", NODES)
def test_derivative_of_nodes(name: str) -> None:
    lowers(_slope(NODES[name]), random(5, 4, 3), (), [W, STACK], rtol=1e-8)


def _slope(func: Field) -> Field:
    def field(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            return torch.autograd.grad((func(t, y) * y.cos()).sum(), y, create_graph=True)[0]

    return field


class Bilinear(nn.Module):
    def __init__(self, bias: bool) -> None:
        super().__init__()
        self.form = nn.Bilinear(3, 2, 3, bias=bias)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.form(y, y[..., :2].sin())
        return out


@pytest.mark.parametrize("shape", [(4, 3), (4, 5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_bilinear_layer(shape: tuple[int, ...], bias: bool) -> None:
    func = Bilinear(bias).double()
    lowers(func, random(*shape), (), list(func.parameters()))
    lowers(_slope(func), random(*shape), (), list(func.parameters()))


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.LSTMCell, nn.RNNCell])
def test_recurrent_cells(kind: Callable[[int, int], nn.Module]) -> None:
    torch.manual_seed(0)
    cell = kind(3, 3).double()

    def func(t: Tensor, y: Tensor) -> Tensor:
        state = (y, y.sin()) if isinstance(cell, nn.LSTMCell) else y
        result = cell(y.cos() * t, state)
        return result[0] if isinstance(cell, nn.LSTMCell) else result

    lowers(func, random(4, 3), (), list(cell.parameters()))
    lowers(_slope(func), random(4, 3), (), list(cell.parameters()), rtol=1e-8)


class Hypernetwork(nn.Module):
    """Weights made of t, as in continuous normalizing flows, with the exact divergence."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.width = width
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 3 * width * 2 + width))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        z = y[:, :2]
        with torch.enable_grad():
            z = z.requires_grad_()
            weights = self.net(t.view(1, 1)).view(-1)
            size = 2 * self.width
            w, u, g = (weights[size * k : size * (k + 1)].view(self.width, -1) for k in range(3))
            u = u * torch.sigmoid(g)
            hidden = torch.tanh(torch.matmul(z, w.mT) + weights[3 * size :])
            velocity = hidden @ u / self.width
            trace = sum(
                torch.autograd.grad(velocity[:, i].sum(), z, create_graph=True)[0][:, i] for i in range(2)
            )
        return torch.cat([velocity, -trace[:, None]], 1)


def test_a_hypernetwork_in_time() -> None:
    torch.manual_seed(0)
    func = Hypernetwork().double()
    captured = lowers(func, random(4, 3), (), list(func.parameters()), rtol=1e-8)
    assert any(isinstance(op, DenseDynamic) for op in captured.program.ops)


def test_one_computed_matrix_serves_all_nodes() -> None:
    captured = must_capture(lambda t, y: y @ rotation(t), random(4, 5, 3))
    (op,) = (op for op in captured.program.ops if isinstance(op, DenseDynamic))
    assert (op.blocks, op.repeats) == (1, 5)


def test_a_product_that_is_written_out_is_one() -> None:
    for func, kind in (
        (lambda t, y: (y[:, None, :] * W).sum(-1), Dense),
        (lambda t, y: (y[:, :, None] * W).mean(1), Dense),
        (lambda t, y: (y[:, None, :] * rotation(t)).sum(-1), DenseDynamic),
        (lambda t, y: (y[:, :, None] * rotation(t)).mean(1), DenseDynamic),
        (lambda t, y: torch.einsum("bi,bij->bj", y, y[:, :, None] + rotation(t)), DenseDynamic),
    ):
        captured = lowers(func, random(4, 3), (), [W])
        assert sum(isinstance(op, kind) for op in captured.program.ops) == 1
        assert not any(isinstance(op, SegmentSum) for op in captured.program.ops)


def test_a_missing_forward_derivative_is_scaled() -> None:
    """Torch crashes on that while its operations are being recorded, if it stands for it in its own way."""

    def func(t: Tensor, y: Tensor) -> Tensor:
        def scaled(x: Tensor) -> Tensor:
            return torch.addmm(W[0], x, W, beta=0.5)

        return torch.func.jvp(scaled, (y,), (y.cos() * t,))[1]

    lowers(func, random(4, 3), (), [W])


def test_products_over_the_batch_are_one_trajectory() -> None:
    for func in (
        lambda t, y: y @ (y.T @ y),
        lambda t, y: torch.einsum("bi,bj->ij", y, y)[0] * y,
        lambda t, y: y * torch.tensordot(y, y, dims=2),
    ):
        captured = must_capture(func, random(4, 3))
        assert not captured.batched
        agrees(func, captured, random(4, 3))
