"""Fields of every kind in the compiled engine and in plain torch: which is faster, and which one is chosen.

The rules in `flashode.engines.native.scope` that leave work to plain torch rest on what this prints. It
fails where the engine that is chosen is slower than 0.9 times the other.

python -m benchmarks.engines
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import flashode
from benchmarks.timing import least_seconds

Field = Callable[[Tensor, Tensor], Tensor]
LEAST_RATIO = 0.9
# One step, in which what a solve costs beside its steps counts most, and ten.
STEPS = {"1 euler": ("euler", [0.0, 0.1]), "10 rk4": ("rk4", [0.1 * i for i in range(11)])}


@dataclass(frozen=True)
class Case:
    """A field and the shape of its state."""

    name: str
    make: Callable[[], Field]
    shape: tuple[int, ...]


def weight(*shape: int) -> nn.Parameter:
    """A matrix that neither grows nor shrinks what it is multiplied with much."""
    return nn.Parameter(torch.randn(shape) / shape[-1])


def net(*widths: int) -> nn.Sequential:
    """A perceptron with tanh."""
    layers = [nn.Linear(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.Tanh())))


def graph(nodes: int, edges: int) -> tuple[Tensor, Tensor]:
    """The ends of random edges."""
    return torch.randint(nodes, (edges,)), torch.randint(nodes, (edges,))


def perceptrons() -> Iterator[Case]:
    """Of several sizes, with few trajectories and with many."""
    for width, hidden in ((2, 50), (8, 64), (64, 256), (256, 512)):
        for batch in (1, 4, 20, 256):

            def make(width: int = width, hidden: int = hidden) -> Field:
                layers = net(width, hidden, width)
                return lambda t, y: layers(y)

            yield Case(f"perceptron {width}-{hidden}-{width}, batch {batch}", make, (batch, width))


def over_nodes() -> Iterator[Case]:
    """States of nodes with features, in which products, sums and indices go across."""
    for batch, nodes, features in (
        (1, 20, 8),
        (8, 20, 8),
        (64, 20, 8),
        (8, 100, 4),
        (64, 100, 4),
        (4, 50, 32),
    ):
        shape, size = (batch, nodes, features), f"{batch} × {nodes} × {features}"

        def einsum(nodes: int = nodes) -> Field:
            a = weight(nodes, nodes)
            return lambda t, y: torch.einsum("ij,bjd->bid", a, y) - y

        def both(nodes: int = nodes, features: int = features) -> Field:
            a, w = weight(nodes, nodes), weight(features, features)
            return lambda t, y: torch.tanh(a @ y @ w)

        def edges(nodes: int = nodes) -> Field:
            source, target = graph(nodes, 4 * nodes)
            return lambda t, y: torch.zeros_like(y).index_add(1, target, y[:, source] - y[:, target])

        def attention() -> Field:
            return lambda t, y: F.softmax(y @ y.transpose(1, 2) * 0.1, -1) @ y - y

        def pairs() -> Field:
            return lambda t, y: torch.sin(y[:, :, None] - y[:, None]).mean(2)

        def mixed(features: int = features) -> Field:
            layers = net(features, 2 * features, features)
            return lambda t, y: layers(y) - y.mean(1, keepdim=True)

        for name, make in (("einsum", einsum), ("a y w", both), ("edges", edges), ("attention", attention)):
            yield Case(f"{name} {size}", make, shape)
        yield Case(f"shared net {size}", mixed, shape)
        if batch * nodes * nodes * features < 300_000:
            yield Case(f"pairs {size}", pairs, shape)


def others() -> Iterator[Case]:
    """Element-wise, indexed, normalised and computed weights."""
    for batch, width in ((1, 3), (20, 30), (256, 100), (10_000, 3)):
        shape, size = (batch, width), f"{batch} × {width}"

        def elementwise() -> Field:
            return lambda t, y: torch.sin(y) * torch.exp(-(y**2)) + t.cos()

        def rolled() -> Field:
            return lambda t, y: y.roll(1, 1) + y.roll(-1, 1) - 2 * y

        def reversed_() -> Field:
            return lambda t, y: 0.5 * y.flip(1)

        def normalised(width: int = width) -> Field:
            layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU())
            return lambda t, y: layers(y)

        def hypernetwork(width: int = width) -> Field:
            hyper = net(1, 16, width * 2)
            return lambda t, y: (
                torch.tanh(y * hyper(t.view(1, 1))[:, :width]) + hyper(t.view(1, 1))[:, width:]
            )

        def skewed(width: int = width) -> Field:
            a = weight(width, width)
            return lambda t, y: y @ (a - a.T)

        def polynomial() -> Field:
            return lambda t, y: torch.stack([y, y**2, y**3], -1).sum(-1) * 0.01 - y

        for name, make in (
            ("elementwise", elementwise),
            ("rolled", rolled),
            ("reversed", reversed_),
            ("layer norm", normalised),
            ("hypernetwork", hypernetwork),
            ("skewed", skewed),
            ("polynomial", polynomial),
        ):
            yield Case(f"{name} {size}", make, shape)


def work(field: Field, y0: Tensor, steps: str, train: bool) -> Callable[[], object]:
    """A solve, or a training step."""
    method, times = STEPS[steps]
    t = torch.tensor(times)

    def forward() -> object:
        with torch.no_grad():
            return flashode.odeint(field, y0, t, method=method)

    start = y0.clone().requires_grad_()

    def training() -> object:
        return flashode.odeint(field, start, t, method=method).square().mean().backward()

    return training if train else forward


def ratio(case: Case, steps: str, train: bool) -> float | None:
    """How many times as long plain torch takes; None where the compiled engine cannot have it."""
    torch.manual_seed(0)
    field, y0 = case.make(), torch.randn(case.shape)
    times = []
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            try:
                times.append(least_seconds(work(field, y0, steps, train)))
            except ValueError:
                return None
    return times[1] / times[0]


def chosen(case: Case, steps: str, train: bool) -> str | None:
    """The engine that such a solve runs in."""
    torch.manual_seed(0)
    field, y0 = case.make(), torch.randn(case.shape, requires_grad=train)
    method, times = STEPS[steps]
    with torch.set_grad_enabled(train):
        return flashode.explain(field, y0, torch.tensor(times), method=method).engine


def main() -> None:
    """Prints the ratios of every field, those in plain torch marked; fails where the slower one is chosen."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    modes = [(steps, train) for steps in STEPS for train in (False, True)]
    heads = [f"{steps}{' train' if train else ''}" for steps, train in modes]
    print(f"{'torch by ours (*: torch is chosen)':<36}{''.join(f'{head:>16}' for head in heads)}")
    wrong = []
    for case in (*perceptrons(), *over_nodes(), *others()):
        shown = ""
        for head, mode in zip(heads, modes, strict=True):
            measured, engine = ratio(case, *mode), chosen(case, *mode)
            mark = " " if engine == "native" else "*"
            shown += f"{'–' if measured is None else f'{measured:.2f}':>15}{mark}"
            if measured is not None and (measured if engine == "native" else 1 / measured) < LEAST_RATIO:
                wrong.append(f"{case.name}, {head}: {engine} is chosen, torch by ours is {measured:.2f}")
        print(f"{case.name:<36}{shown}", flush=True)
    if wrong:
        sys.exit("the slower engine is chosen:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
