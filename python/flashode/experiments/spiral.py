"""A linear neural ODE learns the spiral of which it sees short segments.

The dynamics are dz/dt = A z with the eigenvalues -0.1 ± i: a slow inward spiral, observed at 100 times. The
model is one 2×2 linear layer, trained on random segments of consecutive observations, each solved from its
first observation.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import flashode

MATRIX = ((-0.1, -1.0), (1.0, -0.1))
START = (1.0, 1.0)
END = 25.0
OBSERVATIONS = 100
# Predictions are solved at more times than were observed, so that they draw smoothly.
TIMES_PER_OBSERVATION = 4

UPDATES_PER_EPOCH = 8
SEGMENTS_PER_UPDATE = 16
SEGMENT_LENGTH = 10
LEARNING_RATE = 0.1

# From torch's default initialisation one seed in five is still far off after 15 epochs: some draws grow fast,
# and Adam at this rate needs long to come back from them. From this scale 300 seeds of 300 arrived.
INITIAL_SCALE = 0.1

Solve = Callable[[nn.Module, Tensor, Tensor], Tensor]


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
    """The true trajectory where it was observed."""

    times: Tensor  # (100,)
    states: Tensor  # (100, 2)
    fine_times: Tensor  # (397,), every fourth one observed


@dataclass(frozen=True)
class Epoch:
    """The model after so many epochs of training; number 0 is the untrained model."""

    number: int
    loss: float  # mean squared error over the whole trajectory
    trajectory: Tensor  # (397, 2), predicted from the true start at the fine times
    matrix: Tensor  # (2, 2)


def observe() -> Observations:
    """Solves the true dynamics in float64 to ten digits and rounds the observations to float32."""
    matrix = torch.tensor(MATRIX, dtype=torch.float64)
    fine_times = torch.linspace(0.0, END, (OBSERVATIONS - 1) * TIMES_PER_OBSERVATION + 1, dtype=torch.float64)
    times = fine_times[::TIMES_PER_OBSERVATION]
    # One engine whatever the caller chose, so that every engine is trained on the same bits.
    with torch.no_grad(), flashode.use_engine("eager"):
        states = flashode.odeint(
            lambda t, z: matrix @ z, torch.tensor(START, dtype=torch.float64), times, rtol=1e-10, atol=1e-12
        )
    return Observations(times.float(), states.float(), fine_times.float())


def make_field(seed: int) -> LinearField:
    """The untrained model of a seed. The global random state is left as it was."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return LinearField()


def distance_to_truth(matrix: Tensor) -> float:
    """The largest absolute difference between an entry of `matrix` and of the true one."""
    return (matrix.double() - torch.tensor(MATRIX, dtype=torch.float64)).abs().max().item()


def train(
    field: LinearField,
    observations: Observations,
    *,
    epochs: int,
    seed: int,
    solve: Solve,
    on_update: Callable[[float], None] = lambda loss: None,
) -> Iterator[Epoch]:
    """Trains `field` in place and yields it as it is at the start and after each epoch.

    Args:
        field: The model.
        observations: What it is trained on.
        epochs: How many times 8 updates.
        seed: Chooses the segments.
        solve: Called as `solve(field, y0, t)`, differentiable in the field's parameters.
        on_update: Called after each update with the loss that the update was made from.
    """
    random = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(field.parameters(), lr=LEARNING_RATE)
    yield _evaluate(field, observations, 0, solve)
    for number in range(1, epochs + 1):
        for _ in range(UPDATES_PER_EPOCH):
            segments = _draw_segments(observations, random)
            optimizer.zero_grad()
            # Observations are equally spaced and the dynamics autonomous: every segment may start at time 0.
            predicted = solve(field, segments[0], observations.times[:SEGMENT_LENGTH])
            loss = nn.functional.mse_loss(predicted, segments)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            on_update(loss.item())
        yield _evaluate(field, observations, number, solve)


def _draw_segments(observations: Observations, random: torch.Generator) -> Tensor:
    """Different random segments, of shape (10, 16, 2)."""
    starts = torch.randperm(OBSERVATIONS - SEGMENT_LENGTH + 1, generator=random)[:SEGMENTS_PER_UPDATE]
    return observations.states[starts + torch.arange(SEGMENT_LENGTH)[:, None]]


def _evaluate(field: LinearField, observations: Observations, number: int, solve: Solve) -> Epoch:
    with torch.no_grad():
        trajectory = solve(field, observations.states[0], observations.fine_times)
    loss = nn.functional.mse_loss(trajectory[::TIMES_PER_OBSERVATION], observations.states).item()
    return Epoch(number, loss, trajectory, field.linear.weight.detach().clone())
