"""The user's functions are called in the grad mode that torchdiffeq calls them in."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode
from compat.cases import FIXED, SHARED
from flashode import METHODS, NonFiniteError, odeint, odeint_dense
from flashode.methods import Adams

D = torch.float64
T = torch.tensor([0.0, 0.5, 1.0], dtype=D)
ALL = [method for method in METHODS if method != "scipy_solver"]

pytestmark = pytest.mark.filterwarnings(
    "ignore:Functional iteration did not converge", "ignore::flashode.ConvergenceWarning"
)


@pytest.fixture(autouse=True)
def eagerly() -> Iterator[None]:
    with flashode.use_engine("eager"):
        yield


class Noting(nn.Module):
    """Notes the mode that its functions are called in, and whether there their state requires grad."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.5, dtype=D))
        self.calls: dict[str, set[tuple[bool, bool]]] = {}

    def note(self, name: str, x: Tensor) -> None:
        on = torch.is_grad_enabled()
        self.calls.setdefault(name, set()).add((on, on and x.requires_grad))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.note("field", y)
        return -self.rate * y + torch.cos(t)

    def event(self, t: Tensor, y: Tensor) -> Tensor:
        self.note("event", y)
        return 0.77 - t + 0 * y[0]

    def norm(self, x: Tensor) -> Tensor:
        self.note("norm", x)
        return x.abs().max()

    def grid(self, field: Any, y: Tensor, t: Tensor) -> Tensor:
        self.note("grid", y)
        return t

    def callback_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.note("step", y)

    def callback_accept_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.note("accept", y)

    def callback_reject_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.note("reject", y)


def calls(library: ModuleType, method: str, solver: str, wants: bool, event: bool, on: bool) -> Any:
    """How the functions were called on the way forward, and with the way back."""
    func = Noting()
    y0 = torch.tensor([1.0, 2.0], dtype=D, requires_grad=wants)
    arguments: dict[str, Any] = {"method": method, "rtol": 1e-4, "atol": 1e-6, "options": {"norm": func.norm}}
    if method in FIXED:
        arguments["options"] = {"step_size": 0.1} if event else {"grid_constructor": func.grid}
    t = T[::2] if event else T
    more = {"event_fn": func.event} if event else {}
    with torch.set_grad_enabled(on):
        solution = getattr(library, solver)(func, y0, t, **arguments, **more)
    forward = {name: set(modes) for name, modes in func.calls.items()}
    if on:
        (solution[1] if event else solution)[-1].sum().backward()
    if event and method in FIXED:
        # torchdiffeq does not call it there.
        forward.pop("step", None)
        func.calls.pop("step", None)
    return forward, func.calls


@pytest.mark.filterwarnings("ignore:Solver '.*' does not support callbacks", "ignore:method '.*' takes fixed")
@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("wants", [False, True])
@pytest.mark.parametrize("solver", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize("method", SHARED)
def test_modes(method: str, solver: str, wants: bool, event: bool, on: bool) -> None:
    ours, theirs = (calls(library, method, solver, wants, event, on) for library in (flashode, torchdiffeq))
    assert ours == theirs


def hamiltonian(t: Tensor, y: Tensor) -> Tensor:
    """The oscillator, whose states require grad only if the caller's does."""
    energy = y.square().sum() / 2
    (slope,) = torch.autograd.grad(energy, y, create_graph=True)
    return torch.stack([slope[1], -slope[0]])


def turned(angle: Tensor) -> Tensor:
    return torch.stack([torch.cos(angle), -torch.sin(angle)])


def arguments_of(method: str) -> dict[str, Any]:
    options: dict[str, Any] = {} if METHODS[method].control == "error" else {"step_size": 0.01}
    if isinstance(METHODS[method], Adams):
        options["max_order"] = 4
    return {"method": method, "rtol": 1e-6, "atol": 1e-8, "options": options}


@pytest.mark.parametrize("method", ALL)
def test_fields_that_differentiate(method: str) -> None:
    """Also in the probe of the automatic first step."""
    y0 = torch.tensor([1.0, 0.0], dtype=D, requires_grad=True)
    tolerance = 2e-2 if "euler" in method else 1e-3
    states = odeint(hamiltonian, y0, T, **arguments_of(method))
    torch.testing.assert_close(states[-1].detach(), turned(T[-1]), rtol=0, atol=tolerance)
    (gradient,) = torch.autograd.grad(states[-1, 0], y0)
    right = torch.stack([torch.cos(T[-1]), torch.sin(T[-1])])
    torch.testing.assert_close(gradient, right, rtol=0, atol=tolerance)
    dense = odeint_dense(hamiltonian, y0, 0.0, 1.0, **arguments_of(method))
    torch.testing.assert_close(
        dense(0.7).detach(), turned(torch.tensor(0.7, dtype=D)), rtol=0, atol=tolerance
    )


@pytest.mark.parametrize("method", ALL)
def test_events_of_fields_that_differentiate(method: str) -> None:
    y0 = torch.tensor([1.0, 0.0], dtype=D, requires_grad=True)
    t, _ = odeint(
        hamiltonian, y0, torch.tensor([0.0, 1.0], dtype=D), event_fn=lambda t, y: y[0], **arguments_of(method)
    )
    assert float(t) == pytest.approx(torch.pi / 2, abs=2e-2)


@pytest.mark.parametrize("method", ALL)
def test_fields_that_differentiate_and_fail(method: str) -> None:
    """Where a fixed-step solve is gone through once more, to say where it failed, this is what it says."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return hamiltonian(t, y) + torch.where(t > 0.3, torch.inf, 0.0)

    y0 = torch.tensor([1.0, 0.0], dtype=D, requires_grad=True)
    with pytest.raises(NonFiniteError):
        odeint(field, y0, T, **arguments_of(method))


def test_the_first_step_is_the_same() -> None:
    """Grad mode changes no number."""
    seen = []
    for wants in (False, True):
        func = Noting()
        y0 = torch.tensor([1.0, 2.0], dtype=D, requires_grad=wants)
        seen.append(odeint(func, y0, T, options={"norm": func.norm}).detach())
    assert torch.equal(*seen)
