"""Messages along the edges of a graph: gathered, reduced at each node, and normalised."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import Field, captured_at, evaluated, must_capture, random
from capture.exactly import D, lowers
from flashode import odeint, use_engine

# Node 3 has no edge to it, and some edges are there twice.
SOURCE = torch.tensor([0, 1, 2, 3, 4, 4, 2, 1])
TARGET = torch.tensor([1, 2, 4, 0, 0, 0, 1, 2])
NODES, EDGES = 5, len(SOURCE)
WEIGHT = random(EDGES, seed=1).requires_grad_()


def spread(index: Tensor, x: Tensor) -> Tensor:
    return index.view(-1, 1).expand_as(x)


def reduced(x: Tensor, reduce: str, included: bool = True, start: float = 0.0) -> Tensor:
    """For each node, of what comes to it; ``x`` is (…, edges, features)."""
    size = (*x.shape[:-2], NODES, x.shape[-1])
    return x.new_full(size, start).scatter_reduce(-2, spread(TARGET, x), x, reduce, include_self=included)


def softmax(x: Tensor) -> Tensor:
    largest = reduced(x.detach(), "amax", included=False)
    e = (x - largest.index_select(-2, TARGET)).exp()
    total = x.new_zeros(*x.shape[:-2], NODES, x.shape[-1]).index_add(-2, TARGET, e) + 1e-16
    return e / total.index_select(-2, TARGET)


def attention(t: Tensor, y: Tensor) -> Tensor:
    source, target = y.index_select(-2, SOURCE), y.index_select(-2, TARGET)
    scores = torch.nn.functional.leaky_relu((source * target).sum(-1, keepdim=True), 0.2)
    return torch.zeros_like(y).index_add(-2, TARGET, softmax(scores) * source) - y


def normalised(t: Tensor, y: Tensor) -> Tensor:
    """A graph convolution with self-loops, whose degrees are raised in place."""
    loops = torch.arange(NODES)
    source, target = torch.cat([SOURCE, loops]), torch.cat([TARGET, loops])
    weight = torch.cat([WEIGHT.abs(), torch.ones(NODES, dtype=D)])
    degree = torch.zeros(NODES, dtype=D).scatter_add(0, target, weight)
    root = degree.pow_(-0.5)
    root.masked_fill_(root == torch.inf, 0.0)
    weight = root[source] * weight * root[target]
    return torch.zeros_like(y).index_add(-2, target, weight[:, None] * y.index_select(-2, source))


def without_loops(t: Tensor, y: Tensor) -> Tensor:
    """Weights of loops are taken from loops among the edges, of which there are none."""
    keep = SOURCE != TARGET
    loops = torch.ones(NODES, dtype=D)
    loops[SOURCE[~keep]] = WEIGHT[~keep]
    return y * torch.cat([WEIGHT[keep], loops]).sum()


REDUCED: dict[str, Field] = {
    "amax": lambda t, y: reduced(y[..., SOURCE, :], "amax"),
    "amin": lambda t, y: reduced(y[..., SOURCE, :].sin(), "amin", start=0.3),
    "amax of what comes alone": lambda t, y: reduced(y[..., SOURCE, :] * (1 + t), "amax", included=False),
    "amax over nodes": lambda t, y: y.scatter_reduce(
        -2, spread(TARGET, y[..., SOURCE, :]), y[..., SOURCE, :], "amax"
    ),
    "sum": lambda t, y: reduced(y[..., SOURCE, :], "sum", start=0.5),
    "softmax": lambda t, y: reduced(softmax(y[..., SOURCE, :]) * y[..., TARGET, :], "sum"),
    "attention": attention,
    "normalised": normalised,
    "without loops": without_loops,
}

STATES = [
    torch.zeros(2, NODES, 2, dtype=D),
    random(3, NODES, 2, seed=5).round(),
    torch.full((1, NODES, 2), -torch.inf, dtype=D),
]


@pytest.mark.parametrize("name", REDUCED)
def test_of_several_graphs(name: str) -> None:
    # Differences of infinities are none.
    points = STATES if "am" in name else STATES[:2]
    lowers(REDUCED[name], random(4, NODES, 2), points, [WEIGHT])


@pytest.mark.parametrize("name", REDUCED)
def test_of_one_graph(name: str) -> None:
    func, t = REDUCED[name], torch.tensor(0.3, dtype=D)
    captured = must_capture(func, random(NODES, 2))
    assert captured.batched is (name == "without loops")
    for y in (random(NODES, 2, seed=3), random(NODES, 2, seed=4).round()):
        results = []
        for field in (func, lambda t, y: evaluated(captured, t, y)):
            z = y.clone().requires_grad_()
            value = field(t, z)
            results.append([value, *torch.autograd.grad(value.cos().sum(), z, materialize_grads=True)])
        for eager, program in zip(*results, strict=True):
            torch.testing.assert_close(program, eager, rtol=1e-11, atol=1e-13)


def test_numbers_that_are_none_reach_their_node_alone() -> None:
    captured = must_capture(REDUCED["amax"], random(4, NODES, 2))
    y = random(1, NODES, 2)
    y[0, 3] = torch.nan
    t = torch.tensor(0.3, dtype=D)
    torch.testing.assert_close(evaluated(captured, t, y), REDUCED["amax"](t, y), equal_nan=True)


DECLINED: dict[str, tuple[Field, str]] = {
    "prod": (lambda t, y: reduced(y[..., SOURCE, :], "prod"), "reduce='prod'"),
    "computed": (
        lambda t, y: y.scatter_reduce(1, y.argsort(1), y, "amax"),
        "an index that is computed",
    ),
}


@pytest.mark.parametrize("name", DECLINED)
def test_declined(name: str) -> None:
    func, words = DECLINED[name]
    assert words in str(captured_at(func, torch.tensor(0.3, dtype=D), random(4, NODES, 2)))


class Attention(nn.Module):
    """Of two heads, with learned scores."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(2, 4, bias=False)
        self.score = nn.Parameter(random(1, 2, 2, seed=8))
        self.register_buffer("edges", torch.stack([SOURCE, TARGET]))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        source, target = self.edges
        x = self.project(y).view(-1, 2, 2)
        scores = (x * self.score).sum(-1)
        weight = softmax(torch.nn.functional.leaky_relu(scores[source] + scores[target], 0.2))
        mixed = torch.zeros_like(x).index_add_(0, target, weight[..., None] * x[source])
        return mixed.mean(1)


@pytest.mark.parametrize("engine", ["native", "numba"])
@pytest.mark.parametrize("make", [Attention, lambda: normalised])
def test_engines_run_them(make: Callable[[], Field], engine: str) -> None:
    torch.manual_seed(0)
    func = make()
    learned = [WEIGHT]
    if isinstance(func, nn.Module):
        learned = list(func.double().parameters())
    times = torch.tensor([0.0, 0.2], dtype=D)
    results = []
    for name in ("eager", engine):
        y = random(NODES, 2).requires_grad_()
        with use_engine(name):
            solution = odeint(func, y, times, method="euler")
        results.append([solution, *torch.autograd.grad(solution[-1].cos().sum(), [y, *learned])])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-11, atol=1e-13)
