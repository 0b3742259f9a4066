"""Flow matching by Meta's flow_matching, which took torchdiffeq's `odeint` by name when it was imported."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import flashode
from flashode.declined import Declined
from flashode.engines import REGISTRY
from third_party.losses import train_twice

pytest.importorskip("tqdm", reason="flow_matching imports tqdm, which it does not require")
solver = pytest.importorskip("flow_matching.solver", reason="flow_matching is not installed")
path = pytest.importorskip("flow_matching.path", reason="flow_matching is not installed")

BATCH = 32
DTYPE = torch.float64


class Velocity(nn.Module):
    """A network of the place and the time, called by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 24), nn.SiLU(), nn.Linear(24, 2)).to(DTYPE)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        velocity: torch.Tensor = self.net(torch.cat([x, t.reshape(-1, 1).expand(len(x), 1)], -1))
        return velocity


def moons(count: int) -> torch.Tensor:
    """Points on two interleaved half circles."""
    angle = math.pi * torch.rand(count, dtype=DTYPE)
    upper = (torch.arange(count) % 2 == 0).to(DTYPE)
    side = 2 * upper - 1
    return torch.stack([angle.cos() + 0.5 - upper, side * (angle.sin() - 0.25)], -1)


def likelihood(model: nn.Module, points: torch.Tensor) -> float:
    """The mean log likelihood of the points, with the exact divergence."""
    _, log = solver.ODESolver(velocity_model=model).compute_likelihood(
        x_1=points,
        log_p0=lambda x: -0.5 * (x**2).sum(-1) - math.log(2 * math.pi),
        step_size=None,
        method="dopri5",
        time_grid=torch.tensor([1.0, 0.0], dtype=DTYPE),
        exact_divergence=True,
    )
    return float(log.mean())


def assert_native(report: flashode.Report, calls: int) -> None:
    """All solves were made in the compiled engine, if there is one."""
    (solves,) = report.solves
    expected = "eager" if isinstance(REGISTRY["native"](), Declined) else "native"
    assert (solves.engine, solves.calls) == (expected, calls), str(report)


def test_a_model_trains_and_is_judged_as_with_torchdiffeq() -> None:
    def train() -> list[float]:
        torch.manual_seed(0)
        model = Velocity()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        between = path.CondOTProbPath()
        judged = []
        for _ in range(4):
            optimizer.zero_grad()
            data, t = moons(BATCH), torch.rand(BATCH, dtype=DTYPE)
            sample = between.sample(t=t, x_0=torch.randn_like(data), x_1=data)
            loss = (model(x=sample.x_t, t=sample.t) - sample.dx_t).square().mean()
            loss.backward()
            optimizer.step()
            judged += [loss.item(), likelihood(model, data)]
        return judged

    theirs, ours, report = train_twice(train)
    assert ours == pytest.approx(theirs, rel=1e-9, abs=0)
    assert_native(report, 4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "midpoint", "step_size": 0.1},
        {"method": "heun3", "step_size": 0.25},
        {"method": "bosh3", "step_size": None, "rtol": 1e-7, "atol": 1e-9},
    ],
    ids=["midpoint", "heun3", "bosh3"],
)
def test_a_sampler_trains_as_with_torchdiffeq(arguments: dict[str, Any]) -> None:
    def train() -> list[float]:
        torch.manual_seed(1)
        model = Velocity()
        sampler = solver.ODESolver(velocity_model=model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses = []
        for _ in range(4):
            optimizer.zero_grad()
            start, wanted = torch.randn(BATCH, 2, dtype=DTYPE), moons(BATCH)
            grid = torch.tensor([0.0, 1.0], dtype=DTYPE)
            solution = sampler.sample(x_init=start, time_grid=grid, enable_grad=True, **arguments)
            loss = (solution - wanted).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    theirs, ours, report = train_twice(train)
    # Theirs differentiates the size of the first automatic step as well, which is noise.
    assert ours == pytest.approx(theirs, rel=1e-9 if arguments["step_size"] else 1e-7, abs=0)
    assert theirs[-1] < theirs[0]
    assert_native(report, 4)
