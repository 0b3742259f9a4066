"""Solves that leave a table: they end as plain torch ends them, by its answer or by its error."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine

D = torch.float64
ENGINES = ["native", "numba"]


class Forced(nn.Module):
    """A table that is read at a time; it counts its evaluations."""

    def __init__(self, rows: int = 4) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.linspace(-1, 1, rows, dtype=D))
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.table[(4 * t).long()] - y


class AtState(Forced):
    """The same at a state, which each trajectory has."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.table[y.detach().long()] + 2.0


Y = torch.tensor([[0.2, 0.4], [0.1, 0.3]], dtype=D)


def solve(func: Forced, engine: str, end: float, adjoint: bool = False, **given: Any) -> list[Tensor]:
    """The solution, and its gradients."""
    y0, t = Y.clone().requires_grad_(), torch.tensor([0.0, end], dtype=D)
    method = flashode.odeint_adjoint if adjoint else flashode.odeint
    with use_engine(engine):
        states = method(func, y0, t, **given)
        grads = torch.autograd.grad(states.square().sum(), [y0, func.table])
    return [states, *grads]


@pytest.mark.parametrize(
    ("engine", "method"),
    [(engine, method) for engine in ENGINES for method in ("dopri5", "rk4")] + [("native", "implicit_euler")],
)
def test_within_the_table(engine: str, method: str) -> None:
    given = {"method": method, "options": {} if method == "dopri5" else {"step_size": 0.1}}
    func = Forced(8)
    for own, its in zip(solve(func, engine, 0.9, **given), solve(func, "eager", 0.9, **given), strict=True):
        torch.testing.assert_close(own, its, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("method", ["dopri5", "rk4", "midpoint"])
@pytest.mark.parametrize("field", [Forced, AtState])
def test_beyond_the_table_is_the_function_s_own_error(
    field: type[Forced], method: str, adjoint: bool, engine: str
) -> None:
    options = {} if method == "dopri5" else {"step_size": 0.1}
    func = field()
    messages, counts = [], []
    for each in (engine, "eager"):
        func.nfe = 0
        with pytest.raises(IndexError, match="out of") as raised:
            solve(func, each, 9.0, adjoint, method=method, options=options)
        messages.append(str(raised.value))
        counts.append(func.nfe)
    assert messages[0] == messages[1]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_step_that_was_only_tried_counts(engine: str) -> None:
    # The first step leads out of the table; smaller ones, which a NaN asks for, would not.
    with pytest.raises(IndexError, match="out of"):
        solve(Forced(), engine, 0.9, options={"first_step": 5.0})
    with pytest.raises(IndexError, match="out of"):
        solve(Forced(), "eager", 0.9, options={"first_step": 5.0})


class Rounded(nn.Module):
    """Integers too large for a capture to count on, which torch goes on computing with."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.table = nn.Parameter(torch.linspace(-1, 1, 7, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.table[(self.scale * t).long() % 7] - y


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
def test_what_the_program_does_not_know_is_asked_of_the_function(engine: str, adjoint: bool) -> None:
    results = [
        solve(Rounded(4.6e15), each, 1.0, adjoint, method="rk4", options={"step_size": 0.25})
        for each in (engine, "eager")
    ]
    for own, its in zip(*results, strict=True):
        assert torch.equal(own, its)


def test_the_adjoint_beyond_the_table_is_the_function_s_own_error() -> None:
    # Forwards the grid of times is met, backwards a larger step looks further back than the table goes.
    class Late(Forced):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.table[(4 * t - 1).floor().long() - 1 + 1] * y

    func = Late(8)
    for engine in (*ENGINES, "eager"):
        y0 = Y.clone().requires_grad_()
        with use_engine(engine):
            states = flashode.odeint_adjoint(
                func,
                y0,
                torch.tensor([1.0, 2.2], dtype=D),
                method="rk4",
                options={"step_size": 0.2},
                adjoint_method="dopri5",
                adjoint_options={"first_step": 9.0},
            )
            with pytest.raises(IndexError, match="out of"):
                states.sum().backward()


@pytest.mark.parametrize("engine", ENGINES)
def test_an_event_beyond_its_table_is_the_function_s_own_error(engine: str) -> None:
    table = torch.linspace(2, 1, 4, dtype=D)

    def event(t: Tensor, y: Tensor) -> Tensor:
        return table[(4 * t).long()] + y.square().sum()

    for each in (engine, "eager"):
        with use_engine(each), pytest.raises(IndexError, match="out of"):
            flashode.odeint_event(
                lambda t, y: -y,
                Y,
                torch.tensor(0.0, dtype=D),
                event_fn=event,
                method="rk4",
                options={"step_size": 0.125},
            )
