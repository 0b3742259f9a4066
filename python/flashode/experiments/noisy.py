"""The spiral under noise, that a plain 2×2 layer was reported not to learn: whether ours does, and why.

The report is `published.CITATION`.

A = [[-1, -1], [1, -1/2]] has the eigenvalues -3/4 ± 0.97 i: after five of the 25 units of time a fortieth of
the start is left, so that most of the 100 observations see only noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

import flashode
from flashode.experiments import spiral
from flashode.experiments.spiral import LinearField, Setting
from flashode.experiments.training import Training

EPOCHS = 9
NOISE = 0.01
SETTING = Setting(matrix=((-1.0, -1.0), (1.0, -0.5)), noise=NOISE, learning_rate=0.001, updates_per_epoch=200)
SEEDS = range(10)
# A prediction this close to the trajectory without noise has the spiral: a hundredth of the start's length.
ARRIVED = (0.01 * math.sqrt(2.0)) ** 2


class DeepField(nn.Module):
    """dz/dt by a perceptron 2-32-32-2 with tanh, counting its evaluations in `nfe`."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 2))
        self.nfe = 0

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """The rate of change of z, of shape (*, 2)."""
        self.nfe += 1
        rate: Tensor = self.net(z)
        return rate


FIELDS: Mapping[str, Callable[[], nn.Module]] = {"2×2 layer": LinearField, "perceptron": DeepField}


@dataclass(frozen=True)
class Trial:
    """One training run of the study.

    Attributes:
        field: Name of the model.
        seed: Of noise, weights and segments.
        rate: Learning rate.
        losses: Mean squared error of the whole trajectory, without noise, after each epoch from 0 on.
    """

    field: str
    seed: int
    rate: float
    losses: tuple[float, ...]

    @property
    def arrived(self) -> bool:
        """Whether it has the spiral."""
        return self.losses[-1] < ARRIVED


# The two fields as published, and the layer with a rate at which Adam can reach the matrix in time.
VARIANTS = (("2×2 layer", SETTING.learning_rate), ("perceptron", SETTING.learning_rate), ("2×2 layer", 0.01))


def setting_of(noise: float, rate: float = SETTING.learning_rate) -> Setting:
    """The setting with another noise or learning rate."""
    return replace(SETTING, noise=noise, learning_rate=rate)


def begin(field: str, setting: Setting, seed: int) -> Training[nn.Module]:
    """The training of one of `FIELDS`, before its first epoch."""
    return spiral.begin(seed, setting, FIELDS[field])


def trial(
    field: str,
    rate: float,
    seed: int,
    *,
    noise: float,
    epochs: int,
    on_update: Callable[[float], None] = lambda loss: None,
) -> Trial:
    """A variant with one seed."""
    setting = setting_of(noise, rate)
    history = spiral.train(
        begin(field, setting, seed),
        spiral.observe(setting, seed),
        epochs=epochs,
        solve=flashode.odeint,
        setting=setting,
        on_update=on_update,
    )
    return Trial(field, seed, rate, tuple(epoch.loss for epoch in history))


@dataclass(frozen=True)
class Information:
    """How well observations determine the four entries of A.

    Attributes:
        times: Of the observations, (n,).
        each: What each tells by itself: the Frobenius norm of the derivative of z(t) in A, (n,).
        bounds: For the first k observations, the least standard deviation that an unbiased estimate of an
            entry can have, by Cramér and Rao, the root mean square over the entries, times the noise's; (n,),
            infinite where k are too few.
        condition: Of the information of all: the ratio of its largest to its smallest eigenvalue.
    """

    times: Tensor
    each: Tensor
    bounds: Tensor
    condition: float


def information(end: float = spiral.END, count: int = spiral.OBSERVATIONS) -> Information:
    """What observations at equally spaced times tell about A, from a start that is known exactly."""
    matrix, start = SETTING.truth, torch.tensor(spiral.START, dtype=torch.float64)
    times = torch.linspace(0.0, end, count, dtype=torch.float64)

    def states(entries: Tensor) -> Tensor:
        return torch.matrix_exp(entries.reshape(2, 2) * times[:, None, None]) @ start

    jacobian: Tensor  # (n, 2, 4)
    jacobian = torch.autograd.functional.jacobian(states, matrix.reshape(-1))  # type: ignore[no-untyped-call]
    fisher = (jacobian.mT @ jacobian).cumsum(0)  # (n, 4, 4), for a noise of one
    eigenvalues = torch.linalg.eigvalsh(fisher)
    enough = eigenvalues[:, 0] > 1e-12 * eigenvalues[:, -1].clamp(min=1e-300)
    bounds = torch.full((count,), math.inf, dtype=torch.float64)
    bounds[enough] = (1.0 / eigenvalues[enough]).mean(-1).sqrt()
    condition = (eigenvalues[-1, -1] / eigenvalues[-1, 0]).item()
    return Information(times, jacobian.flatten(1).norm(dim=1), bounds, condition)


@dataclass(frozen=True)
class Way:
    """How the layer's matrix came nearer to the true one.

    Attributes:
        rate: Learning rate.
        noise: Of the observations.
        distances: Largest error of an entry after each epoch from 0 on.
    """

    rate: float
    noise: float
    distances: tuple[float, ...]


# As many epochs as the layer needs at the published rate.
LONG = 30


RATES = tuple(dict.fromkeys(rate for field, rate in VARIANTS if FIELDS[field] is LinearField))
TOLERANCES = (1e-1, 1e-3, 1e-5, 1e-7)


def way(rate: float, noise: float, on_update: Callable[[float], None] = lambda loss: None) -> Way:
    """The way of the layer of seed 0 at a rate and under a noise."""
    setting = setting_of(noise, rate)
    history = spiral.train(
        spiral.begin(0, setting),
        spiral.observe(setting, 0),
        epochs=LONG,
        solve=flashode.odeint,
        setting=setting,
        on_update=on_update,
    )
    matrices = [epoch.matrix for epoch in history]
    return Way(rate, noise, tuple(spiral.distance_to_truth(m, setting) for m in matrices if m is not None))


def error_at(
    rtol: float,
    rate: float,
    *,
    noise: float,
    epochs: int,
    on_update: Callable[[float], None] = lambda loss: None,
) -> float:
    """The layer's last error where training solves to a relative tolerance; of seed 0."""
    setting = setting_of(noise, rate)

    def solve(field: nn.Module, y0: Tensor, t: Tensor) -> Tensor:
        states: Tensor = flashode.odeint(field, y0, t, rtol=rtol, atol=rtol / 100)
        return states

    *_, last = spiral.train(
        spiral.begin(0, setting),
        spiral.observe(setting, 0),
        epochs=epochs,
        solve=solve,
        setting=setting,
        on_update=on_update,
    )
    return last.loss
