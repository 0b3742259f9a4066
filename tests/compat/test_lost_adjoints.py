"""A continuous adjoint says where it does not come back to the states of the forward solve."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flashode import AdjointWarning, odeint, odeint_adjoint
from flashode.errors import ConvergenceWarning
from sampling import sampled

pytestmark = pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")


class Stiff(nn.Module):
    """The first component follows cos t at a rate of k, the second the first one."""

    def __init__(self, k: float = 1000.0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=dtype))

    def forward(self, t: Tensor, y: Any) -> Any:
        if isinstance(y, tuple):
            return -self.k * (y[0] - torch.cos(t)), y[0] - y[1]
        return torch.stack([-self.k * (y[..., 0] - torch.cos(t)), y[..., 0] - y[..., 1]], -1)


class Damped(nn.Module):
    """A random network with damping."""

    def __init__(self, size: int, damping: float, scale: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(size, 8), nn.Linear(8, size)
        self.damping = nn.Parameter(torch.linspace(damping / 10, damping, size))
        self.scale = scale

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        network: Tensor = self.second(torch.tanh(self.first(y)))
        return self.scale * network * torch.cos(t) - self.damping * y


def warned(loss: Tensor) -> list[str]:
    """What the reverse pass says of the way back."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", ConvergenceWarning)
        loss.backward()
    assert all(warning.filename == __file__ for warning in caught)
    return [str(warning.message) for warning in caught if warning.category is AdjointWarning]


# The derivatives are differences of solves to twelve digits.
@pytest.mark.parametrize(
    ("end", "derivative"), [(0.05, -1.1345e-9), (-0.05, -1.1715e-9)], ids=["forwards", "backwards"]
)
@pytest.mark.parametrize("tuple_state", [False, True], ids=["tensor", "tuple"])
def test_a_stiff_adjoint_says_so_once(engine: str, tuple_state: bool, end: float, derivative: float) -> None:
    """The gradient in k is 17 orders of magnitude too large; odeint has it right."""
    sign = math.copysign(1, end)
    field = Stiff(sign * 1000)
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    t = torch.tensor([0.0, end], dtype=torch.float64)
    state = (y0[:1], y0[1:]) if tuple_state else y0
    solution = odeint_adjoint(field, state, t, rtol=1e-8)
    (message,) = warned(solution[1][-1].sum() if tuple_state else solution[-1, 1])
    assert message.startswith("odeint_adjoint: integrated back to t = 0 the state misses ")
    assert "where the tolerances ask for 1.1e-08" in message
    assert "Use odeint" in message
    assert field.k.grad is not None
    assert abs(float(field.k.grad)) > 1e3
    exact = Stiff(sign * 1000)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AdjointWarning)
        odeint(exact, y0, t, rtol=1e-8)[-1, 1].backward()
    assert exact.k.grad is not None
    assert float(exact.k.grad) == pytest.approx(derivative, rel=1e-3)


def test_more_output_times_help(engine: str) -> None:
    """As the warning says: at each of them the state is put right."""
    field = Stiff()
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    t = torch.linspace(0.0, 0.05, 21, dtype=torch.float64)
    assert warned(odeint_adjoint(field, y0, t, rtol=1e-8)[-1, 1]) == []
    assert field.k.grad is not None
    assert float(field.k.grad) == pytest.approx(-1.13e-9, abs=1e-8)


def test_the_time_is_that_of_the_worst_interval(engine: str) -> None:
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    t = torch.tensor([0.0, 0.001, 0.05, 0.051], dtype=torch.float64)
    (message,) = warned(odeint_adjoint(Stiff(), y0, t, rtol=1e-8)[-1, 1])
    assert "integrated back to t = 0.001 the state" in message


def test_fixed_steps_that_lose_the_state(engine: str) -> None:
    """Decay over forty times its time constant, which grows by as much in reverse."""
    field = Stiff()
    y0 = torch.tensor([2.0, 0.0], dtype=torch.float64)
    t = torch.tensor([0.0, 0.04], dtype=torch.float64)
    solution = odeint_adjoint(field, y0, t, method="rk4", options={"step_size": 0.0005})
    (message,) = warned(solution[-1, 1])
    assert "where the states are no larger than 2: " in message


def test_an_event_far_from_the_start(engine: str) -> None:
    y0 = torch.tensor([1.0, 0.0], dtype=torch.float64)
    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    _, solution = odeint_adjoint(Stiff(), y0, t, rtol=1e-8, event_fn=lambda t, y: y[1] - 0.04)
    assert len(warned(solution[-1, 1])) == 1


METHODS = [
    "dopri5",
    "dopri8",
    "bosh3",
    "adaptive_heun",
    "rk4",
    "euler",
    "midpoint",
    "trbdf2",
    "implicit_midpoint",
]


@pytest.mark.parametrize("seed", range(60))
def test_ordinary_fields_are_not_warned_of(seed: int) -> None:
    """Any method, tolerance, step and precision, while nothing decays beyond e to the fourth."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    method = METHODS[seed % len(METHODS)]
    size, damping = choose.choice([2, 3, 5]), 10 ** choose.uniform(-1.5, 2.5)
    duration = choose.uniform(0.2, 4) / damping if damping > 1 else choose.uniform(0.2, 4)
    dtype = choose.choice([torch.float32, torch.float64])
    tolerance = 10 ** choose.uniform(-7 if dtype == torch.float32 else -11, -2)
    arguments: dict[str, Any] = {"rtol": tolerance, "atol": choose.choice([1, 1e-2]) * tolerance}
    if method in METHODS[4:]:
        arguments = {"options": {"step_size": duration / choose.choice([4, 10, 40])}}
    field = Damped(size, damping, choose.uniform(0.1, 2) / max(duration, 1)).to(dtype)
    y0 = torch.randn(choose.choice([1, 8]), size, dtype=dtype)
    t = torch.linspace(0, duration, choose.choice([2, 3, 9]), dtype=dtype)
    assert warned(odeint_adjoint(field, y0, t, method=method, **arguments).square().sum()) == []


# Tens of thousands of evaluations on each way back: plain torch, which the same function judges, goes a few.
@pytest.mark.parametrize(
    ("engine", "seed"),
    [
        *(("native", seed) for seed in range(12)),
        *(("eager", seed) for seed in sampled(range(12), 3, "stiff fields in plain torch")),
    ],
    indirect=["engine"],
)
def test_stiff_fields_are_warned_of(engine: str, seed: int) -> None:
    """Decay by e to the thirtieth and more, at any tolerance."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    field = Damped(3, choose.uniform(200, 400), 1.0).double()
    y0 = torch.randn(2, 3, dtype=torch.float64)
    t = torch.tensor([0.0, choose.uniform(1, 1.5)], dtype=torch.float64)
    tolerance = 10 ** choose.uniform(-9, -5)
    solution = odeint_adjoint(field, y0, t, rtol=tolerance, atol=tolerance)
    assert len(warned(solution[-1].square().sum())) == 1
