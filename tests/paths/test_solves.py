"""Fields that read paths: captured, and the same in the compiled engine as in plain torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine
from flashode.paths import Cubic, Hermite, Linear, Path, Rectilinear

pytestmark = pytest.mark.usefixtures("compiled")

D = torch.float64
KINDS: list[type[Path]] = [Linear, Rectilinear, Hermite, Cubic]
KNOTS = torch.tensor([0.0, 0.3, 0.4, 1.0, 1.5, 2.0], dtype=D)
BATCH, CHANNELS, HIDDEN = 9, 2, 4


class Controlled(nn.Module):
    """dz/dt = F(z) dX/dt + G(X)."""

    def __init__(self, path: Path, channels: int) -> None:
        super().__init__()
        self.path = path
        self.response = nn.Linear(HIDDEN, HIDDEN * channels, dtype=D)
        self.force = nn.Linear(channels, HIDDEN, dtype=D)

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        matrix = self.response(z).tanh().view(len(z), HIDDEN, -1)
        rate: Tensor = (matrix @ self.path.derivative(t).expand(len(z), -1).unsqueeze(-1)).squeeze(-1)
        return rate + self.force(self.path.evaluate(t))


def solved(
    kind: type[Path], leading: tuple[int, ...], adjoint: bool, engine: str, **given: Any
) -> list[Tensor]:
    """A solution and its gradients; also in the values of the path where those have one."""
    torch.manual_seed(0)
    values = torch.randn(*leading, len(KNOTS), CHANNELS, dtype=D).requires_grad_(not adjoint)
    path = kind(KNOTS, values)
    func = Controlled(path, CHANNELS + (kind is Rectilinear))
    z0 = torch.randn(BATCH, HIDDEN, dtype=D).requires_grad_()
    if given["method"] == "dopri5":
        given["options"] = {"jump_t": path.knots}
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    with use_engine(engine):
        states = solve(func, z0, torch.tensor([0.0, 0.7, 2.0], dtype=D), **given)
        inputs = [z0, *func.parameters(), *([] if adjoint else [values])]
        return [states, *torch.autograd.grad(states.square().sum(), inputs)]


@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("leading", [(), (BATCH,)], ids=["one for all", "one for each"])
@pytest.mark.parametrize("kind", KINDS)
def test_fields_of_paths(kind: type[Path], leading: tuple[int, ...], adjoint: bool) -> None:
    given = {"method": "rk4", "options": {"step_size": 0.05}}
    native, eager = (solved(kind, leading, adjoint, engine, **given) for engine in ("native", "eager"))
    for own, its in zip(native, eager, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_steps_that_end_on_the_knots(kind: type[Path]) -> None:
    given = {"method": "dopri5", "rtol": 1e-9, "atol": 1e-11}
    native, eager = (solved(kind, (BATCH,), False, engine, **given) for engine in ("native", "eager"))
    for own, its in zip(native, eager, strict=True):
        torch.testing.assert_close(own, its, rtol=1e-7, atol=1e-9)
    fine = solved(kind, (BATCH,), False, "native", method="rk4", options={"step_size": 0.001})
    torch.testing.assert_close(native[0], fine[0], rtol=0, atol=5e-3)


def test_a_path_made_anew_is_read_anew() -> None:
    func = Controlled(Linear(KNOTS, torch.randn(BATCH, len(KNOTS), CHANNELS, dtype=D)), CHANNELS)
    z0, t = torch.randn(BATCH, HIDDEN, dtype=D), torch.tensor([0.0, 2.0], dtype=D)
    others: list[Path] = [
        Linear(KNOTS, torch.randn(BATCH, len(KNOTS), CHANNELS, dtype=D)),
        Linear(KNOTS[:4], torch.randn(BATCH, 4, CHANNELS, dtype=D)),
        Cubic(KNOTS + 0.1, torch.randn(len(KNOTS), CHANNELS, dtype=D)),
    ]
    for path in (func.path, *others):
        func.path = path
        results = []
        for engine in ("native", "eager"):
            with use_engine(engine):
                results.append(flashode.odeint(func, z0, t, method="midpoint", options={"step_size": 0.1}))
        torch.testing.assert_close(*results, rtol=1e-10, atol=1e-11)
