"""Solvers that a program registers with torchdiffeq: torchdiffeq runs them, under the patch as without it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode

torchdiffeq = pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed")

T = torch.linspace(0.0, 1.0, 5, dtype=torch.float64)
Y0 = torch.tensor([1.0, 2.0], dtype=torch.float64)


@pytest.fixture
def solvers() -> Iterator[dict[str, Any]]:
    """The table, put back afterwards."""
    table: dict[str, Any] = sys.modules["torchdiffeq._impl.odeint"].SOLVERS
    before = dict(table)
    yield table
    flashode.unpatch_torchdiffeq()
    table.clear()
    table.update(before)


def half_step() -> type:
    """A solver unlike every method: Euler's with half the slope."""
    from torchdiffeq._impl.fixed_grid import Euler

    class Half(Euler):
        def _step_func(self, *args: Any) -> tuple[Tensor, Tensor]:
            dy, f0 = super()._step_func(*args)
            return 0.5 * dy, f0

    return Half


class Decay(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.rate * y


def event(t: Tensor, y: Tensor) -> Tensor:
    return y[0] - 0.8


def answers(method: str | None, adjoint_method: str | None = None) -> dict[str, Callable[[], Any]]:
    """Calls of every face, by name."""

    def gradients(solve: Callable[..., Any], **settings: Any) -> list[Tensor]:
        field, y0 = Decay(), Y0.clone().requires_grad_()
        solve(field, y0, T, method=method, **settings)[-1].sum().backward()
        assert y0.grad is not None
        assert field.rate.grad is not None
        return [y0.grad, field.rate.grad]

    def at_event(interface: Callable[..., Any]) -> Any:
        y0, settings = Y0.clone().requires_grad_(), {"method": method, "options": {"step_size": 0.01}}
        time, states = torchdiffeq.odeint_event(
            Decay(), y0, T[0], event_fn=event, odeint_interface=interface, atol=1e-12, **settings
        )
        (gradient,) = torch.autograd.grad(time, y0)
        return [time.detach(), states.detach(), gradient]

    other = {} if adjoint_method is None else {"adjoint_method": adjoint_method, "adjoint_options": {}}
    return {
        "odeint": lambda: torchdiffeq.odeint(Decay(), Y0, T, method=method).detach(),
        "by keyword": lambda: torchdiffeq.odeint(func=Decay(), y0=Y0, t=T, method=method).detach(),
        "backwards": lambda: torchdiffeq.odeint(Decay(), Y0, T.flip(0), method=method).detach(),
        "a tuple": lambda: torchdiffeq.odeint(lambda t, y: (-y[0], y[0]), (Y0, Y0), T, method=method),
        "gradients": lambda: gradients(torchdiffeq.odeint),
        "adjoint": lambda: gradients(torchdiffeq.odeint_adjoint, **other),
        "event": lambda: at_event(torchdiffeq.odeint),
        "event, adjoint": lambda: at_event(partial(torchdiffeq.odeint_adjoint)),
    }


@pytest.mark.parametrize("method", ["mine", "dopri5", "rk4", None])
@pytest.mark.parametrize("before", [True, False], ids=["registered before", "registered under the patch"])
def test_every_face_hands_them_to_torchdiffeq(
    method: str | None, before: bool, solvers: dict[str, Any]
) -> None:
    name = "dopri5" if method is None else method
    own = solvers.get(name)
    solvers[name] = half_step()
    expected = {label: ask() for label, ask in answers(method).items()}
    if not before:
        del solvers[name]
        solvers.update({name: own} if own is not None else {})
    with flashode.patch_torchdiffeq(), flashode.record() as report:
        solvers[name] = half_step()
        for label, ask in answers(method).items():
            torch.testing.assert_close(ask(), expected[label], rtol=1e-9, atol=1e-9, msg=label)
    assert not report.solves
    assert solvers[name].__name__ == "Half"


@pytest.mark.parametrize(("method", "adjoint_method"), [("mine", "rk4"), ("rk4", "mine"), ("dopri5", "mine")])
def test_an_adjoint_of_which_one_method_is_registered(
    method: str, adjoint_method: str, solvers: dict[str, Any]
) -> None:
    solvers["mine"] = half_step()
    expected = answers(method, adjoint_method)["adjoint"]()
    with flashode.patch_torchdiffeq():
        torch.testing.assert_close(
            answers(method, adjoint_method)["adjoint"](), expected, rtol=1e-6, atol=1e-9
        )


def test_methods_of_each_that_the_other_lacks(solvers: dict[str, Any]) -> None:
    solvers["mine"] = half_step()
    with flashode.patch_torchdiffeq():
        words = r"^method must be a method that torchdiffeq has, because adjoint_method is 'mine'.*got 'gl6'"
        with pytest.raises(ValueError, match=words):
            torchdiffeq.odeint_adjoint(
                Decay(), Y0, T, method="gl6", adjoint_method="mine", adjoint_options={}
            )
        with pytest.raises(ValueError, match=r"method must be one of .*got 'yours'"):
            torchdiffeq.odeint(Decay(), Y0, T, method="yours")


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
def test_methods_of_flashode_stay_with_it(solvers: dict[str, Any]) -> None:
    solvers["mine"] = half_step()
    with flashode.patch_torchdiffeq():
        names = [name for name in solvers if name != "mine"]
        with flashode.record() as report:
            for name in names:
                torchdiffeq.odeint(Decay(), Y0, T, method=name)
        assert sum(entry.calls for entry in report.solves) == len(names) == len(flashode.METHODS)


def test_a_class_replaced_before_the_patch_is_seen(solvers: dict[str, Any]) -> None:
    solvers["dopri5"] = solvers["dopri8"]  # torchdiffeq's own, under another name
    expected = torchdiffeq.odeint(Decay(), Y0, T, rtol=1e-3)
    assert not torch.equal(expected, torchdiffeq.odeint(Decay(), Y0, T, rtol=1e-3, method="bosh3"))
    with flashode.patch_torchdiffeq(), flashode.record() as report:
        assert torch.equal(torchdiffeq.odeint(Decay(), Y0, T, rtol=1e-3), expected)
    assert not report.solves


def test_dense_output_is_theirs_for_their_solvers(solvers: dict[str, Any]) -> None:
    """Which there is dopri5's, whatever the table has."""
    expected = torchdiffeq.odeint_dense(Decay(), Y0, T[0], T[-1])(T[2])
    solvers["dopri5"] = half_step()
    with flashode.patch_torchdiffeq():
        assert torch.equal(torchdiffeq.odeint_dense(Decay(), Y0, T[0], T[-1])(T[2]), expected)


def test_nested_patches_and_what_follows_them(solvers: dict[str, Any]) -> None:
    solvers["mine"] = half_step()
    solve = torchdiffeq.odeint
    expected = solve(Decay(), Y0, T, method="mine")
    graph = Y0.clone().requires_grad_()
    for _ in range(2):
        with flashode.patch_torchdiffeq():
            with flashode.patch_torchdiffeq():
                assert torch.equal(solve(Decay(), Y0, T, method="mine"), expected)
            assert torch.equal(torchdiffeq.odeint(Decay(), Y0, T, method="mine"), expected)
            states = torchdiffeq.odeint_adjoint(Decay(), graph, T, method="mine")
        assert torchdiffeq.odeint is solve
        (later,) = torch.autograd.grad(states[-1].sum(), graph)
        (right,) = torch.autograd.grad(
            torchdiffeq.odeint_adjoint(Decay(), graph, T, method="mine")[-1].sum(), graph
        )
        assert torch.equal(later, right)
    with pytest.raises(ValueError, match="method must be one of"):
        flashode.odeint(Decay(), Y0, T, method="mine")


def test_what_holds_their_function_gets_there_too(solvers: dict[str, Any]) -> None:
    held = [
        partial(torchdiffeq.odeint, method="mine"),
        lambda *arguments: torchdiffeq.odeint(*arguments, method="mine"),
    ]
    solvers["mine"] = half_step()
    expected = torchdiffeq.odeint(Decay(), Y0, T, method="mine")
    with flashode.patch_torchdiffeq():
        importlib.import_module("torchdiffeq._impl.odeint")
        for solve in held:
            assert torch.equal(solve(Decay(), Y0, T), expected)
