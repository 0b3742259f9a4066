"""Value, gradient and Laplacian of a flow from one compiled solve, beside automatic differentiation of a
solve.

The setting is that of `flashode poisson`: 225 points, width 32, four steps of rk4. Both answers are compared
in float64 before either is timed in float32.

python -m benchmarks.laplacian [--threads N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache, partial

import torch
import torchdiffeq
from torch import Tensor

import flashode
from benchmarks.timing import least_seconds
from flashode.experiments import poisson
from flashode.experiments.poisson import Collocation, Potential
from flashode.transforms import with_laplacian

Parts = tuple[Tensor, Tensor, Tensor]
Way = Callable[[Potential, Tensor], Parts]


def nested(potential: Potential, points: Tensor) -> Parts:
    """By torchdiffeq and autograd of autograd."""
    points = points.clone().requires_grad_()
    times = torch.tensor([0.0, 1.0], dtype=points.dtype)
    h = torchdiffeq.odeint(
        potential.flow,
        potential.lift(points),
        times,
        method="rk4",
        options={"step_size": 1.0 / poisson.STEPS},
    )
    value = potential.read(h[-1])[:, 0]
    (gradient,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    second = [torch.autograd.grad(gradient[:, k].sum(), points, create_graph=True)[0][:, k] for k in range(2)]
    return value, gradient, second[0] + second[1]


def together(potential: Potential, points: Tensor) -> Parts:
    """By one solve of the augmented field."""
    h = potential.lift(points)
    directions = potential.lift.weight.mT.expand(len(points), 2, poisson.WIDTH)
    y, jacobian, second = flashode.odeint(
        augmented(potential),
        (h, directions, torch.zeros_like(h)),
        torch.tensor([0.0, 1.0], dtype=points.dtype),
        method="rk4",
        options={"step_size": 1.0 / poisson.STEPS},
    )
    weight = potential.read.weight[0]
    return potential.read(y[-1])[:, 0], jacobian[-1] @ weight, second[-1] @ weight


@cache
def augmented(potential: Potential) -> Callable[..., object]:
    """The field of the flow with its derivatives, made once."""
    return with_laplacian(potential.flow)


def loss(parts: Parts) -> Tensor:
    """Something that depends on all three."""
    value, gradient, laplacian = parts
    return (laplacian - value).square().mean() + gradient.square().mean()


def check() -> float:
    """The largest relative difference of values, gradients, Laplacians and gradients of parameters, in
    float64."""
    results = []
    for way in (nested, together):
        potential = poisson.make_potential(0, torch.float64)
        parts = way(potential, Collocation.of(torch.float64).inside)
        loss(parts).backward()  # type: ignore[no-untyped-call]
        results.append([*parts, *(p.grad for p in potential.parameters() if p.grad is not None)])
    pairs = zip(*results, strict=True)
    return max(float(((mine - theirs).norm() / theirs.norm()).detach()) for theirs, mine in pairs)


def main() -> None:
    """Prints milliseconds of an evaluation and of a training step, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    torch.set_num_threads(parser.parse_args().threads)
    print(f"largest relative difference in float64: {check():.1e}; {torch.get_num_threads()} threads")
    potential = poisson.make_potential(0)
    points = Collocation.of(torch.float32).inside

    def evaluate(way: Way) -> None:
        way(potential, points)

    def train(way: Way) -> None:
        loss(way(potential, points)).backward()  # type: ignore[no-untyped-call]

    for name, run in (
        ("value, gradient, Laplacian", evaluate),
        ("the same, and a backward pass", train),
    ):
        ours, theirs = (least_seconds(partial(run, way)) * 1e3 for way in (together, nested))
        print(f"{name}: {ours:.3f} ms, nested {theirs:.1f} ms: {theirs / ours:.0f} times as fast")


if __name__ == "__main__":
    main()
