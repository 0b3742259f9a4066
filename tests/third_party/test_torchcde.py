"""Neural controlled differential equations by torchcde, which calls torchdiffeq's functions by module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import flashode
from third_party.losses import train_twice

torchcde = pytest.importorskip("torchcde", reason="torchcde is not installed")

BATCH, LENGTH, CHANNELS, HIDDEN = 12, 15, 3, 5
DTYPE = torch.float64


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
    assert {solves.engine for solves in report.solves} == {"native"}


class Product(nn.Module):
    """A response that multiplies with the control itself, and reads where the path is."""

    def __init__(self, path: Any) -> None:
        super().__init__()
        self.path, self.response = path, Response()

    def prod(self, t: torch.Tensor, z: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        where = self.path.evaluate(t).sum(-1, keepdim=True)
        rate: torch.Tensor = torch.einsum("...hc,...c->...h", self.response(t, z), control) * where.cos()
        return rate


PATHS = {
    "natural cubic": ("natural_cubic_coeffs", "CubicSpline"),
    "Hermite cubic": (HERMITE, "CubicSpline"),
    "linear": ("linear_interpolation_coeffs", "LinearInterpolation"),
}
IRREGULAR = torch.tensor([0.0, 0.3, 0.35, 1.0, 1.7, 1.8, 2.6, 3.0, 3.9, 4.0], dtype=DTYPE)


@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("form", ["matrix", "product", "two of them"])
@pytest.mark.parametrize("path", PATHS)
def test_solves_and_gradients_are_those_of_plain_torch(path: str, form: str, adjoint: bool) -> None:
    coefficients, interpolation = PATHS[path]
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(BATCH, len(IRREGULAR), CHANNELS, dtype=DTYPE, generator=generator)
    response = Response().to(DTYPE)

    def solve() -> tuple[list[torch.Tensor], str]:
        points = data.clone().requires_grad_(not adjoint)
        control = getattr(torchcde, coefficients)(points, IRREGULAR)
        spline = getattr(torchcde, interpolation)(control, IRREGULAR)
        start = torch.ones(BATCH, HIDDEN, dtype=DTYPE, requires_grad=True)
        func: nn.Module = response
        if form == "product":
            func = Product(spline)
            func.response = response
        given: dict[str, Any] = {"method": "rk4", "options": {"step_size": 0.25}, "adjoint": adjoint}
        given["t"] = torch.tensor([0.0, 1.1, 4.2], dtype=DTYPE)  # beyond the last knot, too
        if form == "two of them":
            given.update(X=Pair(spline), func=Pairwise(response), z0=(start, start * 0.5))
        else:
            given.update(X=spline, func=func, z0=start)
        with flashode.record() as report, flashode.patch_torchdiffeq():
            hidden = torchcde.cdeint(**given)
        states = torch.cat(hidden, -1) if isinstance(hidden, tuple) else hidden
        inputs = [start, *response.parameters(), *([] if adjoint else [points])]
        gradients = torch.autograd.grad(states.square().sum(), inputs)
        (entry,) = report.solves
        return [states, *gradients], entry.engine

    ours, engine = solve()
    assert engine == "native"
    with flashode.use_engine("eager"):
        theirs, _ = solve()
    for own, its in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-9, atol=1e-9)


class Pair(nn.Module):
    """A path for each of two states."""

    def __init__(self, path: Any) -> None:
        super().__init__()
        self.path = path

    def derivative(self, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.path.derivative(t), -self.path.derivative(t)


class Pairwise(nn.Module):
    """A matrix for each of two states."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response

    def forward(
        self, t: torch.Tensor, z: tuple[torch.Tensor, torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.response(t, z[0] + z[1]), self.response(t, z[1])


@pytest.mark.parametrize("method", ["dopri5", "midpoint"])
def test_a_spline_of_rectilinear_data_with_missing_values(method: str) -> None:
    data = torch.randn(BATCH, 6, CHANNELS, dtype=DTYPE, generator=torch.Generator().manual_seed(1))
    data[..., 0] = torch.arange(6)
    data[1:4, 2:4, 1] = torch.nan
    path = torchcde.LinearInterpolation(torchcde.linear_interpolation_coeffs(data, rectilinear=0))
    response = Response().to(DTYPE)
    jumps = {"jump_t": path.grid_points} if method == "dopri5" else {"step_size": 0.5}
    results = []
    for engine in ("native", "eager"):
        with flashode.use_engine(engine), flashode.patch_torchdiffeq():
            start = torch.ones(BATCH, HIDDEN, dtype=DTYPE)
            hidden = torchcde.cdeint(
                X=path, func=response, z0=start, t=path.interval, method=method, options=jumps
            )
        results.append(hidden)
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-9)
