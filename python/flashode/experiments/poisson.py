"""A physics-informed neural ODE solves Poisson's equation on the unit square.

ΔΦ = ρ on (0, 1)², ρ = 2π sin x sin y, Φ = 0 on the boundary. A point is lifted to h(0) by an affine map, h
flows for one unit of time along a neural ODE, and Φ is an affine function of h(1). The loss is the mean
square of the residual ΔΦ - ρ at points inside plus that of Φ at points of the boundary; the Laplacian comes
from the same solve as the value, by `flashode.transforms.with_laplacian`. The experiment is that of
`published.CITATION`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import flashode
from flashode.experiments.training import Training
from flashode.transforms import with_laplacian

WIDTH = 32
STEPS = 4  # of rk4
INSIDE = 15  # points a side
EDGE = 60  # points of each edge
SHOWN = 33  # points a side where Φ is drawn and compared

# As published: 60 steps of Adam at this rate, on the sum of both losses.
PUBLISHED_STEPS = 60
PUBLISHED_RATE = 0.1
PUBLISHED_BOUNDARY = 0.102908
PUBLISHED_RESIDUAL = 0.076783
PANEL_STEPS = (1, 20, 40, 60)
SEEDS = range(5)

# How many times its parameters, which the rate moves, a layer's weights are. With plain layers, as published,
# the flow runs away from some seeds.
PLAIN = 1.0
GAIN = 0.1
RECIPES: Mapping[str, float] = {"plain layers": PLAIN, "weights a tenth": GAIN}

# The recipe that works best holds Φ at zero on the boundary; Adam finds the valley, L-BFGS its floor.
STEPS_PER_EPOCH = 20  # of Adam, or iterations of L-BFGS
WARM_UP_EPOCHS = 10  # of Adam
WARM_UP_RATE = 0.05
EPOCHS = 30


class Affine(nn.Module):
    """An affine map whose weights are so many times its parameters; it starts as torch's linear layer does.

    Adam moves a parameter by about its rate a step, whatever the gradient is. Where the gain is a tenth, the
    rate 0.1 moves a weight by a hundredth. (Karras et al., "Progressive Growing of GANs", ICLR 2018, section
    4.1, have rates equalised like this.)
    """

    def __init__(self, features_in: int, features_out: int, gain: float) -> None:
        super().__init__()
        layer = nn.Linear(features_in, features_out)
        self.gain = gain
        self.scaled_weight = nn.Parameter(layer.weight.detach() / gain)
        self.scaled_bias = nn.Parameter(layer.bias.detach() / gain)

    @property
    def weight(self) -> Tensor:
        """The matrix, (features_out, features_in)."""
        return self.gain * self.scaled_weight

    def forward(self, x: Tensor) -> Tensor:
        """The map of (B, features_in)."""
        return nn.functional.linear(x, self.weight, self.gain * self.scaled_bias)


class Flow(nn.Module):
    """dh/dt by a perceptron with one hidden layer."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.hidden = Affine(WIDTH, WIDTH, gain)
        self.out = Affine(WIDTH, WIDTH, gain)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        """The rate of h, of shape (B, 32)."""
        rate: Tensor = self.out(torch.tanh(self.hidden(h)))
        return rate


class Potential(nn.Module):
    """Φ as a function of points.

    Args:
        gain: Of the affine maps.
        held: Whether Φ is held at zero on the boundary, by the factor x (1 - x) y (1 - y).
    """

    def __init__(self, gain: float = GAIN, *, held: bool = False) -> None:
        super().__init__()
        self.lift = Affine(2, WIDTH, gain)
        self.flow = Flow(gain)
        self.read = Affine(WIDTH, 1, gain)
        self.held = held
        self._augmented = with_laplacian(self.flow)

    @property
    def dtype(self) -> torch.dtype:
        """Of its parameters."""
        return self.lift.scaled_weight.dtype

    def forward(self, points: Tensor) -> Tensor:
        """Φ at points (B, 2), of shape (B,)."""
        value: Tensor = self.read(self._solved(self.flow, self.lift(points))[-1])[:, 0]
        return Factor.at(points).value * value if self.held else value

    def laplacian(self, points: Tensor) -> Tensor:
        """ΔΦ at points (B, 2), of shape (B,)."""
        h = self.lift(points)
        # Of an affine lift the derivatives along x and y are its columns, and there are no second ones.
        directions = self.lift.weight.mT.expand(len(points), 2, WIDTH)
        state = self._solved(self._augmented, (h, directions, torch.zeros_like(h)))
        moved, first, second = (part[-1] for part in state)
        weight = self.read.weight[0]
        laplacian: Tensor = second @ weight
        if not self.held:
            return laplacian
        factor = Factor.at(points)
        across = (factor.gradient * (first @ weight)).sum(1)
        value: Tensor = self.read(moved)[:, 0]
        return factor.value * laplacian + 2.0 * across + factor.laplacian * value

    def _solved(self, field: Callable[..., object], h: object) -> tuple[Tensor, ...]:
        states: tuple[Tensor, ...] = flashode.odeint(
            field,
            h,  # type: ignore[arg-type]
            torch.tensor([0.0, 1.0], dtype=self.dtype),
            method="rk4",
            options={"step_size": 1.0 / STEPS},
        )
        return states


@dataclass(frozen=True)
class Factor:
    """x (1 - x) y (1 - y) at points (B, 2), with its derivatives.

    Attributes:
        value: (B,)
        gradient: (B, 2)
        laplacian: (B,)
    """

    value: Tensor
    gradient: Tensor
    laplacian: Tensor

    @staticmethod
    def at(points: Tensor) -> Factor:
        """The factor at points."""
        each = points * (1.0 - points)  # of x, of y
        gradient = (1.0 - 2.0 * points) * each.flip(1)
        return Factor(each.prod(1), gradient, -2.0 * each.sum(1))


def make_potential(
    seed: int, dtype: torch.dtype = torch.float32, *, gain: float = GAIN, held: bool = False
) -> Potential:
    """The untrained potential of a seed. The global random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return Potential(gain, held=held).to(dtype)


def charge(points: Tensor) -> Tensor:
    """ρ at points (B, 2)."""
    return 2.0 * math.pi * points[:, 0].sin() * points[:, 1].sin()


@dataclass(frozen=True)
class Collocation:
    """Where the equation and the boundary condition are asked for.

    Attributes:
        inside: Centres of a grid's cells, (225, 2).
        charge: ρ there.
        boundary: Points of all four edges, (240, 2).
    """

    inside: Tensor
    charge: Tensor
    boundary: Tensor

    @staticmethod
    def of(dtype: torch.dtype) -> Collocation:
        """The points in one precision."""
        centres = (torch.arange(INSIDE, dtype=dtype) + 0.5) / INSIDE
        along = torch.arange(EDGE, dtype=dtype) / EDGE
        zero, one = torch.zeros(EDGE, dtype=dtype), torch.ones(EDGE, dtype=dtype)
        edges = [(along, zero), (one, along), (1.0 - along, one), (zero, 1.0 - along)]
        inside = torch.cartesian_prod(centres, centres)
        return Collocation(inside, charge(inside), torch.cat([torch.stack(edge, 1) for edge in edges]))


def residual(potential: Potential, at: Collocation) -> Tensor:
    """Mean square of ΔΦ - ρ inside, 0-d."""
    return (potential.laplacian(at.inside) - at.charge).square().mean()


def boundary(potential: Potential, at: Collocation) -> Tensor:
    """Mean square of Φ on the boundary, 0-d."""
    value: Tensor = potential(at.boundary)
    return value.square().mean()


@dataclass(frozen=True)
class Step:
    """A potential after so many steps.

    Attributes:
        number: How many; 0 is the untrained potential.
        residual: Mean square of ΔΦ - ρ at the collocation points.
        boundary: Mean square of Φ on the boundary.
    """

    number: int
    residual: float
    boundary: float


def train_as_published(potential: Potential) -> Iterator[Step]:
    """Sixty steps of Adam at a rate of 0.1 on the plain sum of both losses; yields each, and the start."""
    at = Collocation.of(potential.dtype)
    optimizer = torch.optim.Adam(potential.parameters(), lr=PUBLISHED_RATE)
    for number in range(PUBLISHED_STEPS + 1):
        inside, edge = residual(potential, at), boundary(potential, at)
        yield Step(number, inside.item(), edge.item())
        if number < PUBLISHED_STEPS:
            optimizer.zero_grad()
            (inside + edge).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def begin_best(seed: int, epoch: int = 0) -> Training[Potential]:
    """The training by the best recipe, with the optimizer that it has after so many epochs.

    In float64, in which L-BFGS finds its way longest.
    """
    potential = make_potential(seed, torch.float64, held=True)
    config = {"gain": GAIN, "held": True}
    return Training(potential, config, _optimizer(potential, epoch), torch.Generator().manual_seed(seed))


def _optimizer(potential: Potential, epoch: int) -> torch.optim.Optimizer:
    if epoch < WARM_UP_EPOCHS:
        return torch.optim.Adam(potential.parameters(), lr=WARM_UP_RATE)
    return torch.optim.LBFGS(
        potential.parameters(),
        max_iter=STEPS_PER_EPOCH,
        max_eval=25 * STEPS_PER_EPOCH,  # of a line search: what ends an epoch is the iterations
        history_size=50,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


def train_best(training: Training[Potential], *, epochs: int) -> Iterator[list[float]]:
    """Adam, then L-BFGS, on only the residual, of a potential that is held at zero on the boundary.

    Args:
        training: Of the potential; one that has had epochs goes on.
        epochs: How many times 20 steps there are to be, with those that it has had.

    Yields:
        The residual at each evaluation of an epoch.
    """
    at = Collocation.of(training.model.dtype)
    residuals: list[float] = []

    def closure() -> float:
        training.optimizer.zero_grad()
        loss = residual(training.model, at)
        loss.backward()  # type: ignore[no-untyped-call]
        residuals.append(loss.item())
        return residuals[-1]

    while training.epoch < epochs:
        residuals = []
        # What L-BFGS calls a step is an epoch's worth of iterations.
        for _ in range(STEPS_PER_EPOCH if training.epoch < WARM_UP_EPOCHS else 1):
            training.optimizer.step(closure)
        training.epoch += 1
        if training.epoch == WARM_UP_EPOCHS:
            training.optimizer = _optimizer(training.model, training.epoch)
        yield residuals


def shown(potential: Potential) -> Tensor:
    """Φ on a grid with the boundary, (33, 33), x along the first dimension."""
    along = torch.linspace(0.0, 1.0, SHOWN, dtype=potential.dtype)
    with torch.no_grad():
        values: Tensor = potential(torch.cartesian_prod(along, along))
    return values.reshape(SHOWN, SHOWN).double()


def reference(refinement: int = 8) -> Tensor:
    """Φ on the same grid by second-order finite differences on a finer one, in float64.

    Args:
        refinement: How many of its cells make one of the grid shown, along each axis.
    """
    import numpy as np
    from scipy import sparse
    from scipy.sparse import linalg

    cells = (SHOWN - 1) * refinement
    along = np.linspace(0.0, 1.0, cells + 1)[1:-1]
    size = cells - 1
    second = sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(size, size)) * cells**2
    identity = sparse.eye_array(size)
    laplacian = sparse.kron(second, identity) + sparse.kron(identity, second)
    density = 2.0 * np.pi * np.outer(np.sin(along), np.sin(along))
    inside = linalg.spsolve(laplacian.tocsc(), density.ravel()).reshape(size, size)
    return torch.from_numpy(np.pad(inside, 1)[::refinement, ::refinement].copy())


def relative_error(potential: Tensor, exact: Tensor) -> float:
    """The relative L2 error on the grid."""
    return float((potential - exact).norm() / exact.norm())
