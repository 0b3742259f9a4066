"""Solutions against analytic ones, by every method and engine."""

from __future__ import annotations

import pytest
import torch

from flashode import METHODS, odeint
from problems import ANALYTIC

# Largest step and error allowed. An adaptive method's outputs are interpolated, with an error that its step
# control does not see: its steps are bounded here.
BOUNDS = {
    "dopri8": (0.05, 1e-8),
    "dopri5": (0.05, 1e-7),
    "tsit5": (0.05, 1e-7),
    "bosh3": (0.01, 1e-4),
    "fehlberg2": (0.01, 2e-3),
    "adaptive_heun": (0.01, 1e-3),
    "euler": (0.005, 0.3),
    "midpoint": (0.02, 5e-3),
    "heun2": (0.01, 5e-3),
    "heun3": (0.01, 2e-4),
    "rk4": (0.02, 1e-5),
    "implicit_euler": (0.005, 0.3),
    "implicit_midpoint": (0.02, 5e-3),
    "trapezoid": (0.02, 5e-3),
    "radauIIA3": (0.02, 5e-4),
    "gl4": (0.1, 2e-4),
    "radauIIA5": (0.1, 5e-5),
    "gl6": (0.1, 1e-6),
    "sdirk2": (0.02, 5e-3),
    "trbdf2": (0.02, 5e-3),
    "explicit_adams": (0.02, 1e-4),
    "implicit_adams": (0.02, 1e-5),
    "fixed_adams": (0.02, 1e-5),
    "scipy_solver": (0.05, 1e-5),
}

# Of its default order it is stable only for tiny steps.
OPTIONS = {"explicit_adams": {"max_order": 5}}


@pytest.mark.parametrize("problem", ANALYTIC)
@pytest.mark.parametrize("name", METHODS)
def test_analytic(engine: str, name: str, problem: str) -> None:
    analytic = ANALYTIC[problem]
    t = torch.linspace(0, 3, 7, dtype=torch.float64)
    step, allowed = BOUNDS[name]
    tolerance = allowed / 100
    options = {"max_step" if METHODS[name].control == "error" else "step_size": step, **OPTIONS.get(name, {})}
    with torch.no_grad():
        y = odeint(
            analytic.field(), analytic.y0, t, rtol=tolerance, atol=tolerance, method=name, options=options
        )
    torch.testing.assert_close(y, analytic.solution(t), rtol=0, atol=allowed)


def test_one_trajectory_or_many(engine: str) -> None:
    analytic = ANALYTIC["spiral"]
    t = torch.linspace(0, 3, 7, dtype=torch.float64)
    options = {"step_size": 0.1}
    batch = analytic.y0 * torch.arange(1, 8, dtype=torch.float64)[:, None]
    many = odeint(analytic.field(), batch, t, method="rk4", options=options)
    for i, y0 in enumerate(batch):
        one = odeint(analytic.field(), y0, t, method="rk4", options=options)
        torch.testing.assert_close(many[:, i], one, rtol=1e-13, atol=1e-13)
