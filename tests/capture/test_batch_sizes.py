"""A captured field at batch sizes that it was not traced at: never another function's values."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
import flashode.capture.cache

Field = Callable[[Tensor, Tensor], Tensor]

WIDTH = 4
TABLE = torch.linspace(-1.0, 1.0, 30 * WIDTH, dtype=torch.float64).view(30, WIDTH)
OTHER = TABLE[:WIDTH].clone()
WEIGHT = torch.linspace(-1.0, 1.0, WIDTH * WIDTH, dtype=torch.float64).view(WIDTH, WIDTH)


def raised(size: int) -> float:
    try:
        return (1.0, 2.0, 3.0, 4.0, 5.0)[size]
    except IndexError:
        return 0.5


# What a number of trajectories can leak into.
LEAKS: dict[str, Field] = {
    "branch": lambda t, y: y * (1.0 if y.size(0) < 5 else 3.0),
    "branch on len": lambda t, y: y + (y.sin() if len(y) % 2 else y.cos()),
    "divided": lambda t, y: y * (len(y) // 3),
    "root": lambda t, y: y * math.isqrt(y.shape[0]),
    "remainder": lambda t, y: y - y.shape[0] % 4,
    "equal to the width": lambda t, y: -y if y.shape[0] == WIDTH else y,
    "least": lambda t, y: y * min(len(y), 6),
    "most": lambda t, y: y * max(len(y), 3),
    "reciprocal": lambda t, y: y / len(y),
    "elements": lambda t, y: y * (y.numel() > 20),
    "last rows": lambda t, y: y + y[-3:].sum(),
    "first rows": lambda t, y: y + y[:3].mean(),
    "narrowed": lambda t, y: y + y.narrow(0, 0, min(2, len(y))).sum(),
    "rows in turn": lambda t, y: y + y[:: max(1, len(y) // 2)].sum(),
    "one row": lambda t, y: y + y[len(y) // 2],
    "count of rows": lambda t, y: y + torch.arange(len(y), dtype=y.dtype)[:, None],
    "spread": lambda t, y: y * torch.linspace(0, 1, len(y), dtype=y.dtype)[:, None],
    "square": lambda t, y: torch.tanh(y @ y.T @ y) if len(y) == WIDTH else y,
    "string": lambda t, y: y * len(str(y.shape[0])),
    "formatted": lambda t, y: y * (2.0 if f"{tuple(y.shape)}" == "(6, 4)" else 1.0),
    "comparison of shapes": lambda t, y: y * (1.0 if y.shape == (5, 4) else 2.0),
    "numbers by size": lambda t, y: y * {3: 2.0, 7: 0.5}.get(len(y), 1.0),
    "bits": lambda t, y: y * (len(y) & 4),
    "range": lambda t, y: sum((y * 0.1 for _ in range(len(y) // 4)), y),
    "chunks": lambda t, y: torch.cat([c * (i + 1) for i, c in enumerate(y.split(4))]),
    "whole batch": lambda t, y: y - y.mean(0) * (len(y) > 4),
    "none": lambda t, y: y @ WEIGHT,
    "constant": lambda t, y: torch.ones_like(y) * (1.0 if len(y) < 6 else 2.0),
    "of time": lambda t, y: (t * (1.0 if len(y) < 6 else 2.0)).expand(y.shape),
    "zero": lambda t, y: torch.zeros_like(y) * len(y),
    "sign of zero": lambda t, y: torch.atan(y / torch.tensor(0.0 if len(y) < 6 else -0.0, dtype=y.dtype)),
    "signs of zeros": lambda t, y: torch.atan(y / y.new_full((WIDTH,), 0.0 if len(y) < 6 else -0.0)),
    "shape as a key": lambda t, y: y * {(5, WIDTH): 2.0}.get(tuple(y.shape), 1.0),
    "shape in a set": lambda t, y: y * (2.0 if y.shape in {(3, WIDTH), (8, WIDTH)} else 1.0),
    "steps": lambda t, y: sum((y * 0.1 for _ in range(y.shape[0])), y),
    "layer by size": lambda t, y: y @ (WEIGHT if len(y) < 6 else OTHER),
    "exception": lambda t, y: y * raised(len(y)),
    "detached": lambda t, y: y * (y if len(y) < 6 else y.detach()),
    "table": lambda t, y: y + TABLE[: len(y)],
    "row of a table": lambda t, y: y + TABLE[len(y)],
    "row from the end": lambda t, y: y + TABLE[-len(y)],
}

# What hides a difference where a solve starts, at t = 0 or at y = 0.
FACTORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "times t squared": lambda t, y, f: t**2 * f,
    "later": lambda t, y, f: -y + torch.relu(t - 0.5) * f,
    "at the very end": lambda t, y, f: -y + 100 * torch.relu(t - 0.9975) * f,
    "far out": lambda t, y, f: 4 - y + torch.where(y > 1.5, f, torch.zeros_like(f)),
}


@pytest.mark.parametrize("factor", FACTORS)
@pytest.mark.parametrize("leak", LEAKS)
def test_any_sequence_of_batch_sizes(leak: str, factor: str) -> None:
    draw = random.Random(f"{leak}, {factor}")
    inside, hide = LEAKS[leak], FACTORS[factor]

    def field(t: Tensor, y: Tensor) -> Tensor:
        return hide(t, y, 0.1 * inside(t, y))

    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    sizes = [draw.choice((2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 17)) for _ in range(4)]
    for size in sizes:
        y0 = torch.zeros(size, WIDTH, dtype=torch.float64) if factor == "far out" else _state(size)
        actual, expected = (_solved(field, y0, t, engine) for engine in ("auto", "eager"))
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12, msg=lambda m: f"{sizes}: {m}")


def _state(size: int) -> Tensor:
    return torch.randn(size, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(size))


def _solved(field: Field, y0: Tensor, t: Tensor, engine: str) -> Tensor:
    with warnings.catch_warnings(), flashode.use_engine(engine):
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        solution: Tensor = flashode.odeint(field, y0, t, method="rk4", options={"step_size": 0.25})
    return solution


def test_what_no_batch_size_reaches_stays_captured() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return t**2 * torch.tanh(y @ WEIGHT)

    t = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with flashode.use_engine("native"):
        for size in (7, 3, WIDTH, 16, 2):
            flashode.odeint(field, _state(size), t, method="rk4")


DISGUISES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "times t squared": lambda t, y, c: c * t**2 * y,
    "later": lambda t, y, c: torch.relu(t - 0.5) * c * y,
    "after half": lambda t, y, c: (t > 0.5) * c * y,
    "far out": lambda t, y, c: y + torch.where(y > 2, c * y, y),
    "from zero": lambda t, y, c: 1 + torch.relu(y - 0.5) * c,
}
SMALL, LARGE = 3, 12
HALVES = torch.linspace(0, 1, 3)


def two(y: Tensor) -> float:
    return 1.0 if y.shape[0] < 10 else 2.0


@pytest.mark.parametrize("verify", ["never", "first", "always"])
@pytest.mark.parametrize("solve", [flashode.odeint, partial(flashode.odeint_adjoint, adjoint_params=())])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_number_that_is_chosen_by_the_batch_size(
    disguise: str, solve: Callable[..., Tensor], verify: str
) -> None:
    hide = DISGUISES[disguise]
    start = float(disguise != "from zero")

    def last(field: Field, size: int) -> Tensor:
        y0 = torch.full((size, 2), start, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", flashode.FallbackWarning)
            state = solve(field, y0, HALVES, method="rk4", options={"step_size": 0.25}, verify=verify)[-1]
        (gradient,) = torch.autograd.grad(state.sum(), y0)
        return torch.stack([state[0, 0], gradient[0, 0]])

    def field(t: Tensor, y: Tensor) -> Tensor:
        return hide(t, y, two(y))

    expected = {
        size: last(lambda t, y, c=constant: hide(t, y, c), size)  # type: ignore[misc]
        for size, constant in ((SMALL, 1.0), (LARGE, 2.0))
    }
    for size in (SMALL, LARGE, SMALL, SMALL + 1, LARGE, LARGE):
        actual = last(field, size)
        torch.testing.assert_close(actual, expected[LARGE if size == LARGE else SMALL], rtol=1e-4, atol=1e-5)


def test_in_a_tuple() -> None:
    def field(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return two(y[0]) * t**2 * y[0], two(y[1]) * torch.relu(t - 0.5) * y[1]

    for size, constant in ((SMALL, 1.0), (LARGE, 2.0), (SMALL, 1.0)):
        y0 = torch.ones(size, 2), torch.ones(size, 1)
        captured = _solved_by_default(field, y0)
        for part, integral in zip(captured, (1 / 3, 1 / 8), strict=True):
            expected = torch.full_like(part[-1], math.exp(constant * integral))
            torch.testing.assert_close(part[-1], expected, rtol=1e-5, atol=0.0)


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def test_in_an_event() -> None:
    def condition(t: Tensor, y: Tensor) -> Tensor:
        return 0.25 * two(y) - t**2 + 0 * y.sum()

    for size, at in ((SMALL, 0.5), (LARGE, math.sqrt(0.5)), (SMALL, 0.5)):
        time, _ = flashode.odeint_event(
            lambda t, y: -y, torch.ones(size, 2), torch.tensor(0.0), event_fn=condition
        )
        assert math.isclose(float(time), at, rel_tol=1e-5)


def test_one_trajectory_and_many() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return (1.0 if y.shape[0] == 1 else 2.0) * t**2 * y

    for size in (1, 3, 1, 4):
        captured = _solved_by_default(field, torch.ones(size, 2))
        expected = torch.full((size, 2), math.exp((1 if size == 1 else 2) / 3))
        torch.testing.assert_close(captured[-1], expected, rtol=1e-5, atol=0.0)


def test_with_a_slice_for_each_trajectory() -> None:
    class Noisy(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.noise = torch.ones(SMALL, 2)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return two(y) * t**2 * y * self.noise

    field = Noisy()
    for size, constant in ((SMALL, 1.0), (LARGE, 2.0), (SMALL, 1.0)):
        field.noise = torch.ones(size, 2)
        captured = _solved_by_default(field, torch.ones(size, 2))
        expected = torch.full((size, 2), math.exp(constant / 3))
        torch.testing.assert_close(captured[-1], expected, rtol=1e-5, atol=0.0)


def test_when_too_many_sizes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashode.capture.cache, "MAX_SIZES", 2)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return two(y) * t**2 * y

    for size in (3, 4, 12, 5, 13, 12, 3, 12, 14, 6, 12):
        captured = _solved_by_default(field, torch.ones(size, 2))
        expected = torch.full((size, 2), math.exp((1 if size < 10 else 2) / 3))
        torch.testing.assert_close(captured[-1], expected, rtol=1e-5, atol=0.0)


def _solved_by_default(field: Callable[..., Any], y0: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        return flashode.odeint(field, y0, HALVES)
