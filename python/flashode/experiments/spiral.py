"""A neural ODE learns the spiral of which it sees short segments.

The dynamics are dz/dt = A z; in the plain setting the eigenvalues of A are -0.1 ± i, a slow inward spiral,
observed at 100 times. The model is one 2×2 linear layer, trained on random segments of consecutive
observations, each solved from its first observation. The experiment is that of `published.CITATION`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

import flashode
from flashode.experiments.training import Training

START = (1.0, 1.0)
END = 25.0
OBSERVATIONS = 100
# Predictions are solved at more times than were observed, so that they draw smoothly.
TIMES_PER_OBSERVATION = 4

PUBLISHED_EPOCHS = 15  # after which it is learned
SEGMENTS_PER_UPDATE = 16
SEGMENT_LENGTH = 10

# From torch's default initialisation one seed in five is still far off after 15 epochs: some draws grow fast,
# and Adam at this rate needs long to come back from them. From this scale 300 seeds of 300 arrived.
INITIAL_SCALE = 0.1

Solve = Callable[[nn.Module, Tensor, Tensor], Tensor]
Matrix = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Setting:
    """What is observed, and how it is learned.

    Attributes:
        matrix: A.
        noise: Standard deviation of what is added to each number observed.
        learning_rate: Of Adam.
        updates_per_epoch: How many make an epoch.
    """

    matrix: Matrix
    noise: float
    learning_rate: float
    updates_per_epoch: int

    @property
    def truth(self) -> Tensor:
        """A, (2, 2) in float64."""
        return torch.tensor(self.matrix, dtype=torch.float64)


PLAIN = Setting(matrix=((-0.1, -1.0), (1.0, -0.1)), noise=0.0, learning_rate=0.1, updates_per_epoch=8)


class LinearField(nn.Module):
    """dz/dt = W z, counting its evaluations in `nfe`."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)
        nn.init.normal_(self.linear.weight, std=INITIAL_SCALE)
        self.nfe = 0

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        """The rate of change of z, of shape (*, 2)."""
        self.nfe += 1
        rate: Tensor = self.linear(z)
        return rate


@dataclass(frozen=True)
class Observations:
    """The true trajectory, and what was observed of it."""

    states: Tensor  # (100, 2), as observed
    fine_times: Tensor  # (397,), every fourth one observed
    curve: Tensor  # (397, 2), the true states at those times, without noise

    @property
    def times(self) -> Tensor:
        """When it was observed, (100,)."""
        return self.fine_times[::TIMES_PER_OBSERVATION]

    @property
    def truth(self) -> Tensor:
        """The states without noise, (100, 2)."""
        return self.curve[::TIMES_PER_OBSERVATION]


@dataclass(frozen=True)
class Epoch:
    """The model after so many epochs of training; number 0 is the untrained model."""

    number: int
    loss: float  # mean squared error over the whole trajectory
    trajectory: Tensor  # (397, 2), predicted from the true start at the fine times
    matrix: Tensor | None  # (2, 2); None where the model has none


def observe(setting: Setting = PLAIN, seed: int = 0) -> Observations:
    """Solves the true dynamics in float64 to ten digits, adds the noise, and rounds to float32."""
    fine_times, curve = _solved(setting.matrix)
    observed = curve[::TIMES_PER_OBSERVATION]
    if setting.noise > 0.0:
        random = torch.Generator().manual_seed(seed)
        observed = observed + setting.noise * torch.randn(
            observed.shape, dtype=torch.float64, generator=random
        )
    return Observations(observed.float(), fine_times.float(), curve.float())


@cache
def _solved(matrix: Matrix) -> tuple[Tensor, Tensor]:
    """The fine times, and the true states there."""
    fine_times = torch.linspace(0.0, END, (OBSERVATIONS - 1) * TIMES_PER_OBSERVATION + 1, dtype=torch.float64)
    truth = torch.tensor(matrix, dtype=torch.float64)
    start = torch.tensor(START, dtype=torch.float64)
    # One engine whatever the caller chose, so that every engine is trained on the same bits.
    with torch.no_grad(), flashode.use_engine("eager"):
        curve = flashode.odeint(lambda t, z: truth @ z, start, fine_times, rtol=1e-10, atol=1e-12)
    return fine_times, curve


def make_field(seed: int, kind: Callable[[], nn.Module] = LinearField) -> nn.Module:
    """The untrained model of a seed. The global random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return kind()


def distance_to_truth(matrix: Tensor, setting: Setting = PLAIN) -> float:
    """The largest absolute difference between an entry of `matrix` and of the true one."""
    return (matrix.double() - setting.truth).abs().max().item()


def begin(
    seed: int, setting: Setting = PLAIN, kind: Callable[[], nn.Module] = LinearField
) -> Training[nn.Module]:
    """The training of a seed, which chooses weights and segments, before its first epoch."""
    field = make_field(seed, kind)
    optimizer = torch.optim.Adam(field.parameters(), lr=setting.learning_rate)
    return Training(field, {}, optimizer, torch.Generator().manual_seed(seed))


def train(
    training: Training[nn.Module],
    observations: Observations,
    *,
    epochs: int,
    solve: Solve,
    setting: Setting = PLAIN,
    on_update: Callable[[float], None] = lambda loss: None,
) -> Iterator[Epoch]:
    """Trains a model and yields it as it is at the start and after each epoch.

    Args:
        training: Of the model; one that has had epochs goes on.
        observations: What it is trained on.
        epochs: How many there are to be, with those that it has had.
        solve: Called as `solve(field, y0, t)`, differentiable in the field's parameters.
        setting: How it is trained.
        on_update: Called after each update with the loss before it.
    """
    field = training.model
    if training.epoch == 0:
        yield _evaluate(field, observations, 0, solve)
    while training.epoch < epochs:
        for _ in range(setting.updates_per_epoch):
            segments = _draw_segments(observations, training.random)
            training.optimizer.zero_grad()
            # Observations are equally spaced and the dynamics autonomous: every segment may start at time 0.
            predicted = solve(field, segments[0], observations.times[:SEGMENT_LENGTH])
            loss = nn.functional.mse_loss(predicted, segments)
            loss.backward()  # type: ignore[no-untyped-call]
            training.step()
            on_update(loss.item())
        training.epoch += 1
        yield _evaluate(field, observations, training.epoch, solve)


def _draw_segments(observations: Observations, random: torch.Generator) -> Tensor:
    """Different random segments, of shape (10, 16, 2)."""
    starts = torch.randperm(OBSERVATIONS - SEGMENT_LENGTH + 1, generator=random)[:SEGMENTS_PER_UPDATE]
    return observations.states[starts + torch.arange(SEGMENT_LENGTH)[:, None]]


def _evaluate(field: nn.Module, observations: Observations, number: int, solve: Solve) -> Epoch:
    truth = observations.truth
    with torch.no_grad():
        trajectory = solve(field, truth[0], observations.fine_times)
    loss = nn.functional.mse_loss(trajectory[::TIMES_PER_OBSERVATION], truth).item()
    matrix = field.linear.weight.detach().clone() if isinstance(field, LinearField) else None
    return Epoch(number, loss, trajectory, matrix)
