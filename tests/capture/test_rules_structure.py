"""Operations that move elements: views, pads, joins, indices and what autograd makes of them."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import Field, captured_at, declined, must_capture, random
from capture.exactly import D, lowers
from flashode.declined import Declined

INDEX = torch.tensor([2, 0, 2, 1])


def index_of(y: Tensor) -> Tensor:
    return INDEX.expand(y.shape[0], 4)


def summed(x: Tensor) -> Tensor:
    """Folds whatever came out of an operation back to three features, each part by its own weight."""
    flat = x.flatten(1)
    return flat @ torch.arange(1.0, 1.0 + 3 * flat.shape[1], dtype=D).view(-1, 3).sin()


VECTORS: dict[str, Field] = {
    "pad": lambda t, y: summed(F.pad(y, (1, 2))),
    "pad with a number": lambda t, y: summed(F.pad(y, (2, 1), value=0.3)),
    "pad by cutting": lambda t, y: summed(F.pad(y, (-1, 1))),
    "diag_embed": lambda t, y: summed(torch.diag_embed(y)),
    "diag_embed beside the diagonal": lambda t, y: summed(torch.diag_embed(y, 1)),
    "repeat_interleave": lambda t, y: summed(y.repeat_interleave(2, -1)),
    "repeat_interleave by counts": lambda t, y: summed(y.repeat_interleave(torch.tensor([1, 2, 3]), 1)),
    "chunk": lambda t, y: torch.cat(y.chunk(2, -1)[::-1], -1),
    "unsafe_chunk": lambda t, y: torch.cat(y.unsafe_chunk(2, -1)[::-1], -1),
    "tensor_split": lambda t, y: torch.cat(y.tensor_split(2, -1)[::-1], -1),
    "unfold": lambda t, y: summed(y.unfold(1, 2, 1)),
    "diff": lambda t, y: torch.diff(y, dim=-1, prepend=y[:, :1]),
    "gather": lambda t, y: summed(y.gather(1, index_of(y))),
    "take_along_dim": lambda t, y: summed(torch.take_along_dim(y, INDEX[None], 1)),
    "index by a list": lambda t, y: summed(y[:, [2, 0, 2, 1]]),
    "index by a mask": lambda t, y: summed(y[:, torch.tensor([True, False, True])]),
    "index_select": lambda t, y: summed(y.index_select(-1, INDEX)),
    "index_add": lambda t, y: torch.zeros_like(y).index_add(
        1, INDEX, summed(y).repeat(1, 2)[:, :4], alpha=0.3
    ),
    "index_copy": lambda t, y: y.sin().index_copy(1, torch.tensor([2, 0]), y[:, :2]),
    "index_fill": lambda t, y: y.sin().index_fill(1, torch.tensor([2, 0]), 0.3),
    "scatter": lambda t, y: torch.ones_like(y).scatter(1, index_of(y)[:, :2], y[:, :2].cos()),
    "scatter a number": lambda t, y: y.scatter(1, index_of(y)[:, :2], 0.3),
    "scatter_add": lambda t, y: y.scatter_add(1, index_of(y), torch.cat([y, y[:, :1]], 1) * t),
    "scatter in place": lambda t, y: torch.zeros_like(y).scatter_add_(1, index_of(y)[:, :3], y),
    "accumulated by index": lambda t, y: _accumulated(y),
    "select_scatter": lambda t, y: y.sin().select_scatter(y[:, 0], 1, 2),
    "slice_scatter": lambda t, y: y.sin().slice_scatter(y[:, :1] * t, 1, 2, 3),
    "meshgrid": lambda t, y: y * torch.meshgrid(torch.arange(3.0, dtype=D), t[None], indexing="ij")[0].T,
    "narrow": lambda t, y: summed(y.narrow(1, 1, 2)),
    "tile": lambda t, y: summed(y.tile(1, 2)),
    "unflatten": lambda t, y: summed(torch.cat([y, y], 1).unflatten(1, (2, 3)).transpose(1, 2).contiguous()),
    "hstack": lambda t, y: summed(torch.hstack([y, y.sin()])),
    "column_stack": lambda t, y: torch.column_stack([y[:, 1], y[:, 0], y[:, 2]]),
    "rot90": lambda t, y: summed(torch.rot90(y[:, :, None] * y[:, None, :], 1, (1, 2))),
    "kron": lambda t, y: summed(torch.kron(y, torch.tensor([[1.0, 2.0]], dtype=D))),
    "set by slices": lambda t, y: _set(y, t),
}

MATRICES: dict[str, Field] = {
    "diagonal": lambda t, y: y * y.diagonal(dim1=1, dim2=2)[:, None],
    "diagonal beside it": lambda t, y: y * y.diagonal(1, 1, 2).sum(-1)[:, None, None],
    "diagonal written": lambda t, y: _diagonal_written(y),
    "trace": lambda t, y: y * torch.einsum("bii->b", y)[:, None, None],
    "tril": lambda t, y: y.tril() - 2 * y.triu(1) + y.tril(-1).triu(-1),
    "pad": lambda t, y: F.pad(y, (1, 0, 0, 1))[:, 1:, 1:] * y,
    "index": lambda t, y: y[:, [0, 1, 2], [2, 1, 0]][:, None] * y,
    "index between": lambda t, y: y.flip(1) * y[:, torch.tensor([[0, 2], [1, 1]])].sum(2)[:, :1],
    "antisymmetric": lambda t, y: y - y.mT,
    "block matrix": lambda t, y: torch.cat([torch.cat([y[:, :2, :2], y[:, :2, 2:]], 2), y[:, 2:]], 1),
}


def _accumulated(y: Tensor) -> Tensor:
    z = y.sin()
    return z.T.index_put((torch.tensor([0, 1, 0]),), y.T, accumulate=True).T


def _set(y: Tensor, t: Tensor) -> Tensor:
    z = torch.empty_like(y)
    z[:, 0] = t
    z[:, 1:] = y[:, :2]
    z[:, [1]] *= 2
    z[:, -1] += y[:, 0]
    return z


def _diagonal_written(y: Tensor) -> Tensor:
    z = y.clone()
    z.diagonal(dim1=1, dim2=2)[:] = y[:, 0]
    return z


@pytest.mark.parametrize("name", VECTORS)
def test_of_vectors(name: str) -> None:
    lowers(VECTORS[name], random(4, 3))


@pytest.mark.parametrize("name", MATRICES)
def test_of_matrices(name: str) -> None:
    lowers(MATRICES[name], random(4, 3, 3))


def _slope(func: Field) -> Field:
    def field(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            weights = torch.arange(1.0, 1.0 + y.shape[1], dtype=D)
            energy = (func(t, y.sin()) * y.cos() * weights * (1 + t)).sum()
            return torch.autograd.grad(energy, y, create_graph=True)[0]

    return field


@pytest.mark.parametrize("name", VECTORS)
def test_derivative_of_vectors(name: str) -> None:
    lowers(_slope(VECTORS[name]), random(4, 3))


@pytest.mark.parametrize("name", MATRICES)
def test_derivative_of_matrices(name: str) -> None:
    lowers(_slope(MATRICES[name]), random(4, 3, 3))


class Permuted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.tensor([2, 0, 1]))
        self.offset = torch.tensor([0, 1, 0])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        target = torch.zeros_like(y).index_add(1, self.offset, y)
        return y[:, self.order] * y.index_select(1, self.order.flip(0)) + target.gather(
            1, self.order.expand(y.shape[0], 3)
        )


def test_index_buffers_are_compared_at_each_solve() -> None:
    func = Permuted()
    y = random(4, 3)
    first = lowers(func, y)
    assert must_capture(func, y).program is first.program
    func.order.copy_(torch.tensor([0, 1, 2]))
    second = lowers(func, y)
    assert second.program != first.program
    func.order = torch.tensor([2, 0, 1])
    assert must_capture(func, y).program is first.program
    func.offset[0] = 2
    assert lowers(func, y).program not in (first.program, second.program)


class Split(nn.Module):
    """Couples what a mask leaves out to what it picks."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.scale = nn.Parameter(random(3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        z = y.sin()
        z[:, ~self.mask] = y[:, self.mask].sum(-1, keepdim=True) * self.scale[self.mask].sum()
        return z


def test_masks_that_the_function_owns_are_compared_as_well() -> None:
    func = Split()
    first = lowers(func, random(4, 3), (), [func.scale])
    func.mask.copy_(torch.tensor([True, True, False]))
    second = lowers(func, random(4, 3), (), [func.scale])
    assert second.program != first.program
    func.mask.fill_(True)
    func.mask[1] = False
    assert must_capture(func, random(4, 3)).program is first.program


def test_a_mask_of_several_dimensions() -> None:
    mask = torch.tensor([[True, False, True], [False, True, True]])
    lowers(lambda t, y: y * y[:, mask].sum(-1)[:, None, None] + y.masked_fill(mask, 0.3), random(4, 2, 3))


def test_a_mask_that_training_changes_is_refused() -> None:
    scale = random(3).requires_grad_()
    assert "with an index" in declined(lambda t, y: y * y[:, scale > 0].sum(-1, keepdim=True), random(4, 3))
    assert "depends on" in declined(lambda t, y: y * scale[scale > 0].sum(), random(4, 3))


class Edges(nn.Module):
    """Messages along the edges of a fixed graph, summed at their targets."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("edges", torch.tensor([[0, 1, 2, 2], [1, 2, 0, 1]]))
        self.message = nn.Linear(4, 2).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        source, target = self.edges
        messages = torch.tanh(self.message(torch.cat([y[:, source], y[:, target]], -1)))
        return torch.zeros_like(y).index_add_(1, target, messages) - y


def test_a_graph_of_nodes() -> None:
    func = Edges()
    lowers(func, random(4, 3, 2), (), list(func.parameters()))


def test_large_or_trained_indices_are_refused() -> None:
    many = torch.arange(5000) % 3
    assert "with an index" in declined(lambda t, y: y * y[:, many].sum(-1, keepdim=True), random(4, 3))
    weight = random(3)
    assert "with an index" in declined(lambda t, y: y[:, weight.argsort()], random(4, 3))


@pytest.mark.parametrize("field", [lambda t, y: y[y > 0].sum() * y, lambda t, y: y * torch.nonzero(y).sum()])
def test_shapes_that_depend_on_values_are_refused(field: Field) -> None:
    assert "depends on" in declined(field, random(4, 3))


ALONG_THE_BATCH: dict[str, Field] = {
    "pad": lambda t, y: F.pad(y, (0, 0, 1, 0))[:-1],
    "index": lambda t, y: y[[1, 0, 2, 3]],
    "index_select": lambda t, y: y.index_select(0, torch.arange(3, -1, -1)),
    "gather": lambda t, y: y.gather(0, torch.zeros(4, 3, dtype=torch.long)),
    "scatter": lambda t, y: y.scatter(0, torch.zeros(1, 3, dtype=torch.long), 0.0),
    "index_add": lambda t, y: y.index_add(0, torch.tensor([0, 1, 1, 0]), y),
    "tril": lambda t, y: y.tril(),
    "diagonal": lambda t, y: y * y.diagonal(),
    "diff": lambda t, y: torch.diff(y, dim=0, prepend=y[:1]),
    "unfold": lambda t, y: y * y.unfold(0, 2, 1).sum(),
    "repeat": lambda t, y: y.repeat(2, 1)[:4],
}


@pytest.mark.parametrize("name", ALONG_THE_BATCH)
def test_along_the_batch_there_is_no_trajectory(name: str) -> None:
    captured = captured_at(ALONG_THE_BATCH[name], torch.tensor(0.3, dtype=D), random(4, 3))
    assert isinstance(captured, Declined) or not captured.batched
