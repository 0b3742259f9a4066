"""Reductions over features, with torch's gradients where elements tie or vanish."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from capture.agreement import Field, agrees, declined, evaluated, must_capture, random
from capture.exactly import D, lowers

TIES = torch.tensor([[1, 1, 0], [2, 2, 2], [0, 0, 0], [-1, 0, 0], [0, -1, -1], [1, -1, 1]], dtype=D)
norm = torch.linalg.vector_norm

REDUCED: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda x: x.sum(-1, keepdim=True),
    "sum of all but the batch": lambda x: x.sum((1,))[:, None],
    "mean": lambda x: x.mean(1, keepdim=True),
    "prod": lambda x: x.prod(-1, keepdim=True),
    "amax": lambda x: x.amax(-1, keepdim=True),
    "amin": lambda x: x.amin(1)[:, None],
    "amax of two": lambda x: x[:, :2].amax(-1, keepdim=True),
    "max": lambda x: x.max(-1, keepdim=True).values,
    "min": lambda x: x.min(1)[0][:, None],
    "max of one": lambda x: x[:, :1].max(-1, keepdim=True)[0],
    "var": lambda x: x.var(-1, keepdim=True),
    "var of the population": lambda x: x.var(-1, unbiased=False, keepdim=True),
    "std": lambda x: x.std(-1, keepdim=True),
    "std with a correction": lambda x: x.std(-1, correction=2, keepdim=True),
    "var_mean": lambda x: sum(torch.var_mean(x, -1, keepdim=True)),
    "std_mean": lambda x: sum(torch.std_mean(x, -1, unbiased=False, keepdim=True)),
    "norm": lambda x: x.norm(dim=-1, keepdim=True),
    "norm 1": lambda x: x.norm(1, dim=-1, keepdim=True),
    "norm 1.5": lambda x: norm(x, 1.5, -1, keepdim=True),
    "norm 3": lambda x: torch.linalg.norm(x, 3, -1, keepdim=True),
    "norm 0.5": lambda x: norm(x, 0.5, -1, keepdim=True),
    "norm inf": lambda x: norm(x, torch.inf, -1, keepdim=True),
    "norm -inf": lambda x: norm(x, -torch.inf, -1, keepdim=True),
    "norm 0": lambda x: norm(x, 0, -1, keepdim=True),
    "normalised": lambda x: F.normalize(x, dim=-1),
    "logsumexp": lambda x: torch.logsumexp(x, -1, keepdim=True),
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "cumsum": lambda x: x.cumsum(-1),
    "cumprod": lambda x: x.cumprod(-1),
    "distance": lambda x: F.pairwise_distance(x, x.flip(-1))[:, None],
    "dot": lambda x: torch.linalg.vecdot(x, x.sin())[:, None],
}


@pytest.mark.parametrize("name", REDUCED)
def test_reduction(name: str) -> None:
    reduce = REDUCED[name]

    def func(t: Tensor, y: Tensor) -> Tensor:
        return y.sin() * reduce(y) - t

    points = [TIES]
    if name == "cumprod":
        points = [TIES + 3]  # at zeros torch's own gradient is another algorithm, that is looked at below
    lowers(func, random(4, 3), points, rtol=1e-9)


# Products are looked at below, with zeros among their factors.
@pytest.mark.parametrize("name", sorted(REDUCED.keys() - {"prod", "cumprod"}))
def test_reduction_of_more_features(name: str) -> None:
    reduce = REDUCED[name]
    lowers(lambda t, y: y.sin() * reduce(y) - t, random(4, 7), rtol=1e-9)


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_products_with_zeros(zeros: int) -> None:
    y = random(4, 5)
    y[:, :zeros] = 0.0
    lowers(lambda t, y: y.sin() * y.prod(-1, keepdim=True), random(4, 5), [y])
    lowers(lambda t, y: y.sin() * y.cumprod(-1), random(4, 5), [y])


OF_MATRICES: dict[str, Field] = {
    "sum": lambda t, y: y * y.sum((1, 2), keepdim=True),
    "sum of one": lambda t, y: y * y.sum(1, keepdim=True),
    "mean": lambda t, y: y - y.mean((-1, -2), keepdim=True),
    "amax": lambda t, y: y * y.amax((1, 2), keepdim=True),
    "max": lambda t, y: y * y.max(1, keepdim=True)[0],
    "std": lambda t, y: y / (y.std((1, 2), keepdim=True) + 1),
    "norm": lambda t, y: y / (1 + norm(y, 2, (1, 2), keepdim=True)),
    "frobenius": lambda t, y: y / (1 + torch.linalg.matrix_norm(y)[:, None, None]),
    "logsumexp": lambda t, y: y * torch.logsumexp(y, (1, 2), keepdim=True),
    "cumsum": lambda t, y: y.cumsum(1),
    "prod": lambda t, y: y * y.prod(1, keepdim=True),
    "distances": lambda t, y: torch.cdist(y, y) @ y,
    "distances of order 1": lambda t, y: torch.cdist(y, y.sin(), p=1.0) @ y,
}


@pytest.mark.parametrize("name", OF_MATRICES)
def test_reduction_of_matrices(name: str) -> None:
    lowers(OF_MATRICES[name], random(4, 2, 3))


@pytest.mark.parametrize("name", ["amax", "amin", "norm"])
def test_the_largest_is_exact_where_several_share_its_gradient(name: str) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return y * (y.norm(torch.inf, -1, True) if name == "norm" else getattr(y, name)(-1, keepdim=True))

    # The mean of three equal numbers is off by a bit for most of them.
    state = torch.linspace(0.1, 7.7, 50, dtype=D)[:, None].expand(-1, 5).clone()
    state[40:, :2] *= 0.5
    state[45:, 2:] = torch.inf
    captured = must_capture(func, state[:40])
    agrees(func, captured, state[:45])
    torch.testing.assert_close(
        evaluated(captured, state[0, 0], state), func(state[0, 0], state), rtol=0, atol=0
    )


def test_a_mean_is_a_quotient() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return torch.floor(y.mean(-1, keepdim=True) * 10.0) + y

    state = torch.arange(1.0, 50.0, dtype=D)[:, None] * torch.tensor([0.1, 0.0, 0.0], dtype=D)
    captured = must_capture(func, state)
    torch.testing.assert_close(
        evaluated(captured, state[0, 0], state), func(state[0, 0], state), rtol=0, atol=0
    )


def test_the_largest_of_everything_in_a_single_trajectory() -> None:
    for func in (
        lambda t, y: y * y.max() - y.min() * t,
        lambda t, y: y * y.norm() + y.std() + y.prod(),
        lambda t, y: y * y.sum() + y.mean() + y.var(),
    ):
        captured = must_capture(func, random(3))
        for y in TIES:
            z = y.clone().requires_grad_()
            t = torch.tensor(0.3, dtype=D)
            expected = func(t, z)
            values = captured.program.interpret(t, z, [])
            torch.testing.assert_close(values, expected)
            for a, b in zip(*(torch.autograd.grad(v.sum(), z) for v in (values, expected)), strict=True):
                torch.testing.assert_close(a, b)


# Torch's derivative of these picks by an index that is computed.
@pytest.mark.parametrize("name", sorted(REDUCED.keys() - {"max", "min", "max of one", "prod", "cumprod"}))
def test_derivative_of_a_reduction(name: str) -> None:
    reduce = REDUCED[name]

    def func(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            energy = (y.sin() * reduce(y) * torch.tensor([1.0, 2.0, 3.0], dtype=D) * t).sum()
            return torch.autograd.grad(energy, y, create_graph=True)[0]

    lowers(func, random(4, 3), rtol=1e-8)


ALONG_THE_BATCH: dict[str, Field] = {
    "sum": lambda t, y: y - y.sum(0),
    "max": lambda t, y: y - y.max(0)[0],
    "amax": lambda t, y: y - y.amax(),
    "var": lambda t, y: y - y.var(0),
    "norm": lambda t, y: y / (1 + y.norm()),
    "logsumexp": lambda t, y: y - y.logsumexp(0),
    "cumsum": lambda t, y: y.cumsum(0),
    "prod": lambda t, y: y * y.prod(0),
}


@pytest.mark.parametrize("name", ALONG_THE_BATCH)
def test_reduction_along_the_batch(name: str) -> None:
    assert not must_capture(ALONG_THE_BATCH[name], random(4, 3)).batched


@pytest.mark.parametrize("name", ["median", "argmax", "kthvalue", "mode"])
def test_order_statistics_are_refused(name: str) -> None:
    func: dict[str, Field] = {
        "median": lambda t, y: y - y.median(-1, keepdim=True)[0],
        "argmax": lambda t, y: y * y.argmax(-1, keepdim=True),
        "kthvalue": lambda t, y: y * y.kthvalue(1, -1, keepdim=True)[0],
        "mode": lambda t, y: y * y.mode(-1, keepdim=True)[0],
    }
    assert name in declined(func[name], random(4, 3))
