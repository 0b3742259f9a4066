"""Solves whose fields come upon special numbers: states and gradients are those without a capture."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import flashode
from flashode import NonFiniteError, use_engine

D = torch.float64
Field = Callable[[Tensor, Tensor], Tensor]


def _force(potential: Callable[[Tensor], Tensor]) -> Field:
    def force(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_()
            (gradient,) = torch.autograd.grad(potential(y).sum(), y, create_graph=True)
        return -gradient

    return force


def _huber(y: Tensor) -> Tensor:
    return F.huber_loss(y, torch.zeros_like(y), reduction="none", delta=0.5)


FIELDS: dict[str, tuple[Field, list[float]]] = {
    "logaddexp of equals": (lambda t, y: torch.logaddexp(y, 1.0 * y.flip(-1)), [1.0, 1.0]),
    "logaddexp2 of equals": (lambda t, y: torch.logaddexp2(y, y + 0.0 * t), [1.0, 2.0]),
    "xlogy at zero": (lambda t, y: torch.xlogy(y, y), [0.0, 0.5]),
    "xlogy of zero and infinity": (lambda t, y: torch.xlogy(0.0 * y, y / 0.0) + y, [1.0, 2.0]),
    "xlog1py at zero": (lambda t, y: torch.special.xlog1py(y, y - 1), [0.0, 0.5]),
    "clamp to no number, unused": (
        lambda t, y: torch.where(t < 0.5, -y, torch.clamp(y, min=torch.sqrt(0.1 - t)).isnan() * y),
        [1.0, 2.0],
    ),
    "huber at its delta": (lambda t, y: _huber(y), [0.5, -0.5]),
    "force of huber at its delta": (_force(_huber), [0.5, -0.5]),
    "gelu of minus infinity": (lambda t, y: torch.where(F.gelu(y / -0.0).isnan(), y, -y), [1.0, 2.0]),
    "inverse root of minus zero": (lambda t, y: torch.where((-0.0 * y) ** -0.5 < 0, y, -y), [1.0, 2.0]),
    "root of minus infinity": (lambda t, y: torch.where(((y / -0.0) ** -0.5).isnan(), y, -y), [1.0, 2.0]),
    "lerp of large ends": (
        lambda t, y: torch.where(torch.lerp(1e308 * y, -1e308 * y, 0.75) > 0, y, -y),
        [1.0, 1.5],
    ),
    "prelu at zero": (lambda t, y: F.prelu(y, 0.5 * y[0, :1].detach() + 0.25) + 1e-3, [0.0, 0.0]),
    "hypot of zeros": (lambda t, y: torch.where(y > 0, torch.hypot(y, 2 * y), y), [0.5, 1.0]),
}


def _solved(field: Field, state: list[float], engine: str) -> list[Tensor]:
    y0 = torch.tensor([state, state], dtype=D, requires_grad=True)
    with use_engine(engine):  # type: ignore[arg-type]
        states = flashode.odeint(field, y0, torch.tensor([0.0, 1.0], dtype=D), method="euler")
    energy = states[-1].square().sum()
    (once,) = torch.autograd.grad(energy, y0, retain_graph=True)
    (first,) = torch.autograd.grad(energy, y0, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), y0, materialize_grads=True)
    return [states.detach(), first.detach(), second, once]


@pytest.mark.parametrize("name", FIELDS)
def test_special_numbers_in_a_solve(name: str) -> None:
    actual, wanted = (_solved(*FIELDS[name], engine) for engine in ("native", "eager"))
    for ours, reference in zip(actual, wanted, strict=True):
        torch.testing.assert_close(ours, reference, equal_nan=True)


@pytest.mark.parametrize("engine", ["native", "eager"])
@pytest.mark.parametrize("name", ["clamp", "clip", "minimum"])
def test_what_is_bounded_by_no_number_is_none(name: str, engine: str) -> None:
    fields: dict[str, Field] = {
        "clamp": lambda t, y: torch.clamp(y, min=torch.sqrt(0.5 - t)),
        "clip": lambda t, y: torch.clip(y, max=torch.sqrt(0.5 - t)),
        "minimum": lambda t, y: torch.minimum(y, torch.sqrt(0.5 - t)),
    }
    y0 = torch.ones(2, 3, dtype=D)
    with use_engine(engine), pytest.raises(NonFiniteError):  # type: ignore[arg-type]
        flashode.odeint(fields[name], y0, torch.linspace(0, 1, 5, dtype=D), method="rk4")


@pytest.mark.parametrize("size", [1.0, 3e19, 1e30, 1e-25])
def test_deviations_whose_squares_single_precision_does_not_hold(size: float) -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        spread: Tensor = y.std(-1, keepdim=True) - torch.std_mean(y, -1, keepdim=True)[1]
        return spread.expand_as(y)

    results = []
    for engine in ("native", "eager"):
        y0 = (torch.tensor([[1.0, -2.0, 4.0], [0.5, 0.25, 3.0]]) * size).requires_grad_()
        with use_engine(engine):  # type: ignore[arg-type]
            states = flashode.odeint(field, y0, torch.tensor([0.0, 1.0]), method="euler")
        results.append((states.detach() / size, *torch.autograd.grad(states.sum(), y0)))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference)
    assert math.isfinite(float(results[0][0].sum()))
