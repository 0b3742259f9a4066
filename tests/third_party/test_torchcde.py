"""Neural controlled differential equations by torchcde, which calls torchdiffeq's functions by module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from third_party.losses import train_twice

torchcde = pytest.importorskip("torchcde", reason="torchcde is not installed")

BATCH, LENGTH, CHANNELS, HIDDEN = 12, 15, 3, 5
DTYPE = torch.float64

# The control is looked up in a table by the time, as a Python number, which no capture can follow.
pytestmark = pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")


class Response(nn.Module):
    """The matrix that a hidden state answers a control with."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(HIDDEN, 16), nn.ReLU(), nn.Linear(16, HIDDEN * CHANNELS))

    def forward(self, t: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        matrix: torch.Tensor = self.net(z).tanh().view(*z.shape[:-1], HIDDEN, CHANNELS)
        return matrix


class Classifier(nn.Module):
    """Reads a path by a controlled equation and gives a number for its class."""

    def __init__(self, path: Callable[[torch.Tensor], Any], **arguments: Any) -> None:
        super().__init__()
        self.path = path
        self.arguments = arguments
        self.first, self.response, self.last = nn.Linear(CHANNELS, HIDDEN), Response(), nn.Linear(HIDDEN, 1)

    def forward(self, coefficients: torch.Tensor) -> torch.Tensor:
        path = self.path(coefficients)
        start = self.first(path.evaluate(path.interval[0]))
        arguments = dict(self.arguments)
        if arguments.pop("jumps", False):
            arguments.update(method="dopri5", options={"jump_t": path.grid_points})
        hidden = torchcde.cdeint(X=path, func=self.response, z0=start, t=path.interval, **arguments)
        logits: torch.Tensor = self.last(hidden[:, 1]).squeeze(-1)
        return logits


def sines() -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy sines with their times, and whether each turns clockwise."""
    times = torch.linspace(0.0, 2.0, LENGTH)
    phase = torch.rand(BATCH, 1)
    clockwise = torch.arange(BATCH) % 2
    angle = 4 * times * (1 - 2 * clockwise)[:, None] + phase
    points = torch.stack([times.expand(BATCH, LENGTH), angle.cos(), angle.sin()], -1)
    return points + 0.01 * torch.randn_like(points), clockwise.to(DTYPE)


HERMITE = "hermite_cubic_coefficients_with_backward_differences"
FIXED = {"method": "rk4", "options": {"step_size": 1.0}}

# Kinks of a spline fall inside the adaptive steps, where the error estimate says little: each rejection makes
# the difference between two orders of summing about ten times as large. Where a step lands on a jump exactly,
# torchdiffeq forgets the later ones; here that comes in the fourth update.
CASES = {
    "adjoint": (HERMITE, "CubicSpline", FIXED, 4, 1e-9),
    "discrete": ("natural_cubic_coeffs", "CubicSpline", {"adjoint": False, **FIXED}, 4, 1e-9),
    "adaptive": ("natural_cubic_coeffs", "CubicSpline", {}, 4, 1e-6),
    "jumps": (
        "linear_interpolation_coeffs",
        "LinearInterpolation",
        {"method": "dopri5", "jumps": True},
        3,
        1e-9,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_trains_as_with_torchdiffeq(case: str) -> None:
    coefficients, path, arguments, updates, tolerance = CASES[case]

    def train() -> list[float]:
        torch.manual_seed(0)
        data, labels = sines()
        spline = getattr(torchcde, coefficients)(data)
        model = Classifier(getattr(torchcde, path), **arguments)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(updates):
            optimizer.zero_grad()
            loss = nn.functional.binary_cross_entropy_with_logits(model(spline), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPE)
    try:
        theirs, ours, report = train_twice(train)
    finally:
        torch.set_default_dtype(before)
    assert theirs[-1] < theirs[0]
    assert ours == pytest.approx(theirs, rel=tolerance, abs=0)
    assert sum(solves.calls for solves in report.solves) == len(theirs)
