"""The tensor operations of a solve, which are what a small problem costs: fewer than torchdiffeq's."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import flashode
from compat.cases import ADAPTIVE, FIXED, SHARED

MODES = ["forward", "train", "adjoint"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:Functional iteration did not converge", "ignore::flashode.ConvergenceWarning"
)


@pytest.fixture(autouse=True)
def eagerly() -> Iterator[None]:
    with flashode.use_engine("eager"):
        yield


class Count(TorchDispatchMode):
    """Counts tensor operations, those of reverse passes too."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.total += 1
        return func(*args, **(kwargs or {}))


class Growth(nn.Module):
    """One operation for each component of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, t: Tensor, y: Any) -> Any:
        return tuple(self.rate * part for part in y) if isinstance(y, tuple) else self.rate * y


class Watched(Growth):
    """Looks at every step."""

    def callback_step(self, t0: Tensor, y0: Any, dt: Tensor) -> None:
        pass


def operations(
    library: ModuleType,
    method: str,
    mode: str,
    *,
    field: type[Growth] = Growth,
    pair: bool = False,
    moving: bool = False,
    **options: Any,
) -> int:
    """How many a solve of eleven outputs takes, and its reverse pass unless it only goes forward."""
    y0: Any = torch.ones(4, 3, dtype=torch.float64)
    if pair:
        y0 = (y0, torch.ones(4, 1, dtype=torch.float64))
    t = torch.linspace(0, 1, 11, dtype=torch.float64).requires_grad_(moving)
    func = field()
    if method in ADAPTIVE:
        options = {"first_step": 0.05, **options}
    arguments = {"method": method, "rtol": 1e-4, "atol": 1e-4, "options": options}
    with Count() as count, torch.set_grad_enabled(mode != "forward"):
        solution = (library.odeint_adjoint if mode == "adjoint" else library.odeint)(func, y0, t, **arguments)
        if mode != "forward":
            torch.stack([part.sum() for part in (solution if pair else (solution,))]).sum().backward()
    return count.total


def check(method: str, mode: str, **arguments: Any) -> None:
    ours, theirs = (operations(library, method, mode, **arguments) for library in (flashode, torchdiffeq))
    assert ours < theirs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pair", [False, True], ids=["tensor", "tuple"])
@pytest.mark.parametrize("method", SHARED)
def test_fewer_operations(method: str, pair: bool, mode: str) -> None:
    check(method, mode, pair=pair)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", SHARED)
def test_fewer_operations_with_callbacks(method: str, mode: str) -> None:
    check(method, mode, field=Watched)


@pytest.mark.parametrize("mode", ["train", "adjoint"])
@pytest.mark.parametrize("method", SHARED)
def test_fewer_operations_where_times_have_gradients(method: str, mode: str) -> None:
    check(method, mode, moving=True)


OPTIONS: dict[str, dict[str, Any]] = {
    "step size": {"step_size": 0.07},
    "cubic": {"step_size": 0.07, "interp": "cubic"},
    "perturb": {"perturb": True},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("method", FIXED)
def test_fewer_operations_with_options(method: str, name: str, mode: str) -> None:
    check(method, mode, **OPTIONS[name])
