"""Fields that no Program repeats: the eager engine solves them, and a warning says why."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import flashode
from fields.catalogue import normal
from flashode import use_engine

KNOTS = torch.linspace(0, 1, 5, dtype=torch.float64)
VALUES = normal(5, 3, seed=4)
SEEN: list[float] = []


def branching_on_the_state(t: Tensor, y: Tensor) -> Tensor:
    return -y if y.norm() > 1 else y


def branching_on_time(t: Tensor, y: Tensor) -> Tensor:
    return -y if t < 0.2 else y


def calling_numpy(t: Tensor, y: Tensor) -> Tensor:
    return -y * float(np.sin(t.item()))


def appending(t: Tensor, y: Tensor) -> Tensor:
    SEEN.append(float(t))
    return -y


def interpolating_by_index(t: Tensor, y: Tensor) -> Tensor:
    i = int(torch.searchsorted(KNOTS, t.detach()).clamp(1, 4))
    return VALUES[i - 1] + (VALUES[i] - VALUES[i - 1]) * (t - KNOTS[i - 1]) * 4 - y


def a_median(t: Tensor, y: Tensor) -> Tensor:
    return y.median(dim=-1, keepdim=True).values - y


def decomposing_a_matrix_of_the_state(t: Tensor, y: Tensor) -> Tensor:
    mass = torch.eye(3, dtype=y.dtype) + 0.1 * y.unsqueeze(-1) * y.unsqueeze(-2)
    return -torch.linalg.eigvalsh(mass) * y


class Layer(nn.Module):
    def __init__(self, wrap: Callable[[nn.Module], nn.Module]) -> None:
        super().__init__()
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore", FutureWarning)
            torch.manual_seed(0)
            self.layer = wrap(nn.Linear(3, 3, dtype=torch.float64)).eval()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y))


def _hooked(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda module, inputs, output: output * 0.5)
    return layer


FALLING_BACK: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "branch on the state": (branching_on_the_state, "Python number"),
    "branch on time": (branching_on_time, "Python number"),
    "numpy": (calling_numpy, "Python number"),
    "list": (appending, "Python number"),
    "index of time": (interpolating_by_index, "Python number"),
    "median": (a_median, "median"),
    "eigenvalues": (decomposing_a_matrix_of_the_state, "eigh"),
    "hook": (Layer(_hooked), "hooks"),
    "weight_norm by hook": (Layer(nn.utils.weight_norm), "hooks"),
    "spectral_norm by hook": (Layer(nn.utils.spectral_norm), "hooks"),
}


@pytest.mark.parametrize("name", FALLING_BACK)
def test_falls_back_with_a_reason(name: str) -> None:
    func, reason = FALLING_BACK[name]
    y0, t = normal(4, 3), torch.tensor([0.0, 0.3, 0.5], dtype=torch.float64)
    with pytest.raises(flashode.engines.EngineDeclined) as declined, use_engine("native"):
        flashode.odeint(func, y0, t)
    assert reason in str(declined.value)
    with pytest.warns(flashode.FallbackWarning) as warned:
        solution = flashode.odeint(func, y0, t)
    assert any(reason in str(each.message) for each in warned)
    with use_engine("eager"):
        torch.testing.assert_close(solution, flashode.odeint(func, y0, t), rtol=0, atol=0)
