"""A captured field at batch sizes that it was not traced at: never another function's values."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import flashode

Field = Callable[[Tensor, Tensor], Tensor]

WIDTH = 4
WEIGHT = torch.linspace(-1.0, 1.0, WIDTH * WIDTH, dtype=torch.float64).view(WIDTH, WIDTH)

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
    "table": lambda t, y: y * {3: 2.0, 7: 0.5}.get(len(y), 1.0),
    "bits": lambda t, y: y * (len(y) & 4),
    "range": lambda t, y: sum((y * 0.1 for _ in range(len(y) // 4)), y),
    "chunks": lambda t, y: torch.cat([c * (i + 1) for i, c in enumerate(y.split(4))]),
    "whole batch": lambda t, y: y - y.mean(0) * (len(y) > 4),
    "none": lambda t, y: y @ WEIGHT,
    "constant": lambda t, y: torch.ones_like(y) * (1.0 if len(y) < 6 else 2.0),
    "of time": lambda t, y: (t * (1.0 if len(y) < 6 else 2.0)).expand(y.shape),
    "zero": lambda t, y: torch.zeros_like(y) * len(y),
}

# What hides a difference where a solve starts, at t = 0 or at y = 0.
FACTORS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "times t squared": lambda t, y, f: t**2 * f,
    "later": lambda t, y, f: -y + torch.relu(t - 0.5) * f,
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
        found, expected = (_solved(field, y0, t, engine) for engine in ("auto", "eager"))
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12, msg=lambda m: f"{sizes}: {m}")


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
