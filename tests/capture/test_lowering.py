"""Fields in the styles that people write: captured as row-wise, equal to eager in values and gradients."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import Field, agrees, must_capture, random

D = torch.float64


def lorenz_unbind(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = y.unbind(-1)
    return torch.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], -1)


def lorenz_transposed(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = y.T
    return torch.stack((10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c)).T


def lorenz_written(t: Tensor, y: Tensor) -> Tensor:
    dy = torch.zeros_like(y)
    dy[:, 0] = 10 * (y[:, 1] - y[:, 0])
    dy[:, 1] = y[:, 0] * (28 - y[:, 2]) - y[:, 1]
    dy[..., 2] = y[:, 0] * y[:, 1]
    dy[..., 2] -= 8 / 3 * y[:, 2]
    return dy


def lorenz_columns(t: Tensor, y: Tensor) -> Tensor:
    a, b, c = y[:, :1], y[:, 1:2], y[:, 2:]
    return torch.cat([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c], dim=1)


def written_by_index(t: Tensor, y: Tensor) -> Tensor:
    dy = torch.empty_like(y)
    dy[:, [2, 0]] = y[:, [0, 1]]
    dy[:, 1] = t
    return dy


def in_place(t: Tensor, y: Tensor) -> Tensor:
    h = y * 2
    h.add_(1).mul_(t).sin_()
    view = h[:, 1:]
    view *= 3
    return h + view.sum(-1, keepdim=True)


def built_matrix(t: Tensor, y: Tensor) -> Tensor:
    a = torch.zeros(3, 3, dtype=D)
    a[0, 1], a[1, 0] = 2.0, -2.0
    a[2] = torch.tensor([0.1, 0.2, 0.3], dtype=D)
    return y @ a.T


def time_embedding(t: Tensor, y: Tensor) -> Tensor:
    frequencies = torch.arange(1, 4, dtype=D) * math.pi
    return y * torch.sin(frequencies * t) + torch.cos(t) * torch.linspace(0, 1, 3, dtype=D)


def hamiltonian(t: Tensor, y: Tensor) -> Tensor:
    q, p = y.chunk(2, dim=-1)
    return torch.cat([p, -torch.sin(q)], -1)


FUNCTIONS: dict[str, tuple[Field, tuple[int, ...]]] = {
    "lorenz unbind/stack": (lorenz_unbind, (4, 3)),
    "lorenz transposed": (lorenz_transposed, (4, 3)),
    "lorenz written": (lorenz_written, (4, 3)),
    "lorenz columns": (lorenz_columns, (4, 3)),
    "written by index": (written_by_index, (4, 3)),
    "in place": (in_place, (4, 3)),
    "matrix built in forward": (built_matrix, (4, 3)),
    "time embedding": (time_embedding, (4, 3)),
    "pendulum": (hamiltonian, (4, 2)),
    "linear decay": (lambda t, y: -0.5 * y, (4, 3)),
    "t * y": (lambda t, y: t * y, (4, 3)),
    "ones * t": (lambda t, y: y + torch.ones(y.shape[0], 1, dtype=D) * t, (4, 3)),
    "ones_like column * t": (lambda t, y: y * (torch.ones_like(y[:, :1]) * t), (4, 3)),
    "t expanded and joined": (lambda t, y: torch.cat([y, t.expand(y.shape[0], 1)], -1)[:, 1:], (4, 3)),
    "t repeated": (lambda t, y: y + t.repeat(y.shape[0], 1), (4, 3)),
    "t viewed": (lambda t, y: y * t.view(1, 1).expand_as(y), (4, 3)),
    "van der pol": (lambda t, y: torch.stack([y[:, 1], (1 - y[:, 0] ** 2) * y[:, 1] - y[:, 0]], 1), (4, 2)),
    "normalised": (lambda t, y: y / (1 + (y * y).sum(-1, keepdim=True)), (4, 3)),
    "centred": (lambda t, y: y - y.mean(-1, keepdim=True), (4, 3)),
    "mean of all features": (lambda t, y: y - y.mean((1, 2), keepdim=True), (4, 2, 3)),
    "flip and roll": (lambda t, y: y.flip(-1) - y.roll(1, -1) * y.roll([2, 1], [-1, 1]), (4, 2, 3)),
    "split": (lambda t, y: torch.cat(y.split([1, 2], -1)[::-1], -1), (4, 3)),
    "index_select": (lambda t, y: y.index_select(1, torch.tensor([2, 0, 0])), (4, 3)),
    "repeat": (lambda t, y: y.repeat(1, 2)[:, 1:4], (4, 3)),
    "squeeze": (lambda t, y: y.squeeze(1).sin().unsqueeze(1), (4, 1, 3)),
    "permuted": (lambda t, y: y.permute(1, 2, 0).sin().movedim(-1, 0), (4, 2, 3)),
    "reshaped": (lambda t, y: y.reshape(-1, 6).tanh().view(y.shape), (4, 2, 3)),
    "merged batch": (lambda t, y: y.reshape(-1, 3).flip(-1).reshape(y.shape), (4, 2, 3)),
    "cross product": (lambda t, y: torch.linalg.cross(y, y.flip(-1)), (4, 3)),
    "outer and contraction": (lambda t, y: (y[:, :, None] * y[:, None, :]).sum(-1), (4, 3)),
    "bilinear product": (lambda t, y: torch.einsum("bi,bj->bij", y, y.sin()).mean(-1), (4, 3)),
    "matrix of the state": (lambda t, y: torch.bmm(y, y.transpose(1, 2)) @ y, (4, 2, 2)),
    "matrix of time": (lambda t, y: y @ torch.stack([torch.cos(t), torch.sin(t), t, t]).view(2, 2), (4, 2)),
    "addcmul and lerp": (lambda t, y: torch.addcmul(y, y, y, value=0.5).lerp(y, 0.3), (4, 3)),
    "powers": (lambda t, y: y**3 + y.abs() ** 0.5 + y.square() + (y * y + 1) ** -1 + 2.0**y, (4, 3)),
    "tensor exponent": (lambda t, y: (y.abs() + 1) ** y, (4, 3)),
    "logarithms": (lambda t, y: torch.log2(y.exp() + 1) + torch.log10(y * y + 1) + torch.exp2(y), (4, 3)),
    "rsqrt": (lambda t, y: y * torch.rsqrt(y * y + 1), (4, 3)),
    "extremes": (lambda t, y: torch.maximum(y, t * y) - torch.minimum(y, -y), (4, 3)),
    "clamp": (lambda t, y: y.clamp(-0.5, 0.5) + y.clamp(min=0) - y.clamp_max(1.0), (4, 3)),
    "division by numbers": (lambda t, y: y / 3 + 1 / (2 + y.exp()) + (y - 1) / t - 2 / (3 + t), (4, 3)),
    "rsub and alpha": (lambda t, y: 2 - torch.add(y, y, alpha=0.3) - torch.sub(1.0, y), (4, 3)),
    "constant field": (lambda t, y: torch.full_like(y, 0.1), (4, 3)),
    "literal scalar tensor": (lambda t, y: torch.tensor(2.0) * y + torch.tensor(1.0, dtype=D), (4, 3)),
    "literal vector": (lambda t, y: y * torch.tensor([1.0, 2.0, 3.0], dtype=D), (4, 3)),
    "identity": (lambda t, y: y, (4, 3)),
    "vmap": (lambda t, y: torch.func.vmap(lambda v: v.sin() * v.sum())(y), (4, 3)),
    "jvp": (lambda t, y: torch.func.jvp(torch.tanh, (y,), (y.cos(),))[1].sin(), (4, 3)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    func, shape = FUNCTIONS[name]
    y = random(*shape)
    captured = must_capture(func, y)
    assert captured.batched
    assert captured.program.widths[1] == math.prod(shape[1:])
    agrees(func, captured, y)
    agrees(func, captured, random(7, *shape[1:], seed=4))


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "elu": partial(F.elu, alpha=1.3),
    "elu in place": nn.ELU(inplace=True),
    "selu": F.selu,
    "celu": partial(F.celu, alpha=0.7),
    "gelu": F.gelu,
    "gelu tanh": nn.GELU(approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "softplus": nn.Softplus(beta=2.0, threshold=3.0),
    "leaky_relu": nn.LeakyReLU(0.1),
    "relu in place": nn.ReLU(inplace=True),
    "hardtanh": nn.Hardtanh(-0.7, 0.9),
    "hardsigmoid": F.hardsigmoid,
    "hardswish": F.hardswish,
    "logsigmoid": F.logsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softsign": F.softsign,
    "tanhshrink": F.tanhshrink,
    "softshrink": nn.Softshrink(0.3),
    "erf": torch.erf,
    "atan": torch.atan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "expm1": torch.expm1,
    "log1p of a square": lambda x: torch.log1p(x * x),
    "sign": torch.sign,
    "tan": lambda x: torch.tan(x / 4),
    "glu": lambda x: torch.cat([F.glu(x, -1)] * 2, -1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name: str) -> None:
    activation = ACTIVATIONS[name]
    y = 2 * random(5, 4)

    def func(t: Tensor, y: Tensor) -> Tensor:
        return activation(y * 1.5) - y

    captured = must_capture(func, y)
    assert captured.batched
    # Torch's own gradient of celu is no better than that.
    agrees(func, captured, y, rtol=1e-6 if name == "celu" else 1e-11)


@pytest.mark.parametrize("shape", [(), (3,), (1, 3), (2, 3), (2, 1, 3), (1, 1, 3), (2, 4, 3)])
def test_state_shapes(shape: tuple[int, ...]) -> None:
    y = random(*shape)

    def func(t: Tensor, y: Tensor) -> Tensor:
        return torch.sin(y) * t - y**2

    captured = must_capture(func, y)
    assert captured.batched == (len(shape) > 1)
    agrees(func, captured, y)


def test_a_vector_state_is_one_trajectory() -> None:
    matrix = random(3, 3).requires_grad_()
    for func in (
        lambda t, y: matrix @ y,
        lambda t, y: y @ matrix,
        lambda t, y: torch.mv(matrix, y) * y.dot(y),
    ):
        captured = must_capture(func, random(3))
        assert not captured.batched
        agrees(func, captured, random(3), [matrix])


MIXING: dict[str, Field] = {
    "mean": lambda t, y: y - y.mean(0),
    "sum": lambda t, y: y * y.sum(),
    "gram": lambda t, y: (y @ y.T) @ y,
    "flip": lambda t, y: y.flip(0),
    "first row": lambda t, y: y - y[0],
    "size as a number": lambda t, y: y / y.shape[0],
    "rolled": lambda t, y: y.roll(1, 0),
    "shifted": lambda t, y: torch.cat([y[1:], y[:1]]),
    "flat roll": lambda t, y: y.flatten().flip(0).view(y.shape),
    "transposed view": lambda t, y: y.T.reshape(y.shape),
    "arange": lambda t, y: y * torch.arange(y.shape[0], dtype=D)[:, None],
}


@pytest.mark.parametrize("name", MIXING)
def test_mixing_the_batch_is_one_trajectory(name: str) -> None:
    func = MIXING[name]
    captured = must_capture(func, random(4, 3))
    assert not captured.batched
    agrees(func, captured, random(4, 3))


MERGED: dict[str, Field] = {
    "nodes before the batch": lambda t, y: (
        y.transpose(0, 1).reshape(-1, 3).sin().view(2, -1, 3).transpose(0, 1)
    ),
    "a product": lambda t, y: (y.transpose(0, 1).reshape(-1, 3) @ MATRIX).view(2, -1, 3).transpose(0, 1),
    "cut and joined": lambda t, y: (
        torch.cat(y.transpose(0, 1).reshape(-1, 3).split([1, 2], 1)[::-1], 1).view(2, -1, 3).transpose(0, 1)
    ),
    "between": lambda t, y: y.permute(1, 0, 2).reshape(2, -1).cos().view(2, -1, 3).permute(1, 0, 2),
    "all around": lambda t, y: y.permute(1, 0, 2).reshape(-1).cos().view(2, -1, 3).permute(1, 0, 2),
}
MATRIX = random(3, 3, seed=7)


@pytest.mark.parametrize("name", MERGED)
def test_the_batch_merged_with_axes_before_it(name: str) -> None:
    captured = must_capture(MERGED[name], random(4, 2, 3))
    assert captured.batched
    agrees(MERGED[name], captured, random(5, 2, 3))


def test_batches_merged_in_different_ways_do_not_meet() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return (y.reshape(-1, 3) * y.transpose(0, 1).reshape(-1, 3)).view(y.shape)

    captured = must_capture(func, random(4, 2, 3))
    assert not captured.batched
    agrees(func, captured, random(4, 2, 3))
