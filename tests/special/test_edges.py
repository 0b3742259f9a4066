"""Zeros where autograd gives zeros and nothing where it gives nothing, though a Program has no such rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import flashode
from capture.agreement import must_capture
from flashode import use_engine
from special.functions import BINARY, ROWS, UNARY
from special.points import Function

D = torch.float64
T = torch.tensor([0.0, 0.2, 0.5], dtype=D)
Y = torch.tensor([[0.3, 0.6], [0.4, 0.2], [0.5, 0.7]], dtype=D)
Field = Callable[[Tensor, Tensor, Tensor], Tensor]  # of y and two parameters of its width


def _slope(potential: Callable[[Tensor], Tensor], y: Tensor, p: Tensor, q: Tensor) -> Tensor:
    with torch.enable_grad():
        x = y * p + q
        (slope,) = torch.autograd.grad(potential(x).sum(), x, create_graph=True)
    return slope * y


FIELDS: dict[str, Field] = {
    "bias before a relu, differentiated": lambda y, p, q: _slope(torch.relu, y, p, q),
    "before a hardtanh": lambda y, p, q: _slope(F.hardtanh, y, p, q),
    "before a leaky relu": lambda y, p, q: _slope(F.leaky_relu, y, p, q),
    "rounded quotient": lambda y, p, q: torch.div(y, p, rounding_mode="floor") * q - y,
    "rows that are cut off": lambda y, p, q: torch.cat([y * q, p.expand_as(y)], 1)[:, :2],
    "row of a stack": lambda y, p, q: torch.stack([y * q, y * p])[0],
    "mask of literals": lambda y, p, q: torch.where(torch.ones(2, dtype=torch.bool), y * q, p),
    "overwritten": lambda y, p, q: (y * p).copy_(y * q),
    "overwritten by way of a view": lambda y, p, q: _written(y * q, p),
    "no elements": lambda y, p, q: y * q + p[:0].sum(),
    "compared": lambda y, p, q: (y > p) * q - y,
    "detached": lambda y, p, q: torch.cat([y * q, p.detach().expand_as(y)], 1)[:, :2],
    "counted": lambda y, p, q: torch.linalg.vector_norm(y * p, 0, -1, True) * q - y,
}


def _written(x: Tensor, p: Tensor) -> Tensor:
    x[:, :1] = p[:1]
    x[:, :1] = 0.5
    return x


class Module(nn.Module):
    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        self.p = nn.Parameter(torch.tensor([0.3, 0.2], dtype=D))
        self.q = nn.Parameter(torch.tensor([0.5, -0.4], dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.field(y, self.p, self.q)


def _gradients(field: Field, solver: Any, engine: Any) -> list[Tensor | None]:
    module = Module(field)
    with use_engine(engine):
        solver(module, Y, T, method="rk4").sum().backward()
    return [parameter.grad for parameter in module.parameters()]


@pytest.mark.parametrize("used", [True, False])
def test_tensors_that_trajectories_carry_along(used: bool) -> None:
    c = nn.Parameter(torch.tensor([[0.5], [-0.4], [0.1]], dtype=D))
    p = nn.Parameter(torch.tensor(0.3, dtype=D))

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.cat([y * p, c], 1)[:, :2] + (c if used else 0.0)

    gradients = []
    for engine in ("native", "eager"):
        with use_engine(engine):  # type: ignore[arg-type]
            states = flashode.odeint(field, Y, T, method="rk4")
        gradients.append(torch.autograd.grad(states.sum(), (p, c), allow_unused=True))
    for actual, wanted in zip(*gradients, strict=True):
        assert actual is not None
        torch.testing.assert_close(actual, wanted)


@pytest.mark.parametrize("solver", [flashode.odeint, flashode.odeint_adjoint])
@pytest.mark.parametrize("name", FIELDS)
def test_gradients_are_zeros_where_they_are_of_the_function(name: str, solver: Any) -> None:
    actual, wanted = (_gradients(FIELDS[name], solver, engine) for engine in ("native", "eager"))
    for gradient, reference in zip(actual, wanted, strict=True):
        assert (gradient is None) == (reference is None)
        if gradient is not None and reference is not None:
            torch.testing.assert_close(gradient, reference, rtol=1e-3, atol=1e-6)


def _edges(func: Callable[[Tensor, Tensor], Tensor], parameters: list[nn.Parameter]) -> tuple[Any, Any]:
    """Which parameters have a gradient, by the capture and by the function itself."""
    t = torch.tensor(0.3, dtype=D)
    captured = must_capture(func, Y)
    rows = Y.reshape(len(Y) if captured.batched else 1, -1)
    values = captured.program.interpret(t, rows, captured.parameters()), func(t, Y)
    return tuple(
        [g is not None for g in torch.autograd.grad(value.sum(), parameters, allow_unused=True)]
        for value in values
    )


ALL: dict[str, tuple[Function, int]] = {
    **{name: (function, 1) for name, function in UNARY.items()},
    **{name: (function, 2) for name, function in BINARY.items()},
    **{name: (function, 3) for name, function in ROWS.items()},
}


@pytest.mark.parametrize("name", ALL)
def test_every_function_has_the_edges_of_torch(name: str) -> None:
    function, width = ALL[name]
    parameters = [nn.Parameter(torch.tensor(0.21 + 0.1 * i, dtype=D)) for i in range(width)]

    def func(t: Tensor, y: Tensor) -> Tensor:
        return y + function(torch.stack([y[:, 0] + p for p in parameters], 1))[:, None]

    actual, wanted = _edges(func, parameters)
    assert actual == wanted


@pytest.mark.parametrize("width", [1, 2, 3, 5])
@pytest.mark.parametrize("carried", [False, True])
def test_states_of_any_width(width: int, carried: bool) -> None:
    """With a parameter of each trajectory too, whose rows follow the state's."""
    layer = nn.Linear(width, width, dtype=D)
    slices = nn.Parameter(torch.linspace(0.1, 0.4, 3 * width, dtype=D).reshape(3, width))
    own = [*layer.parameters(), slices] if carried else list(layer.parameters())

    def func(t: Tensor, y: Tensor) -> Tensor:
        return layer(y) * slices if carried else layer(y)  # type: ignore[no-any-return]

    results = []
    for engine in ("native", "eager"):
        with use_engine(engine):  # type: ignore[arg-type]
            end = flashode.odeint(func, torch.ones(3, width, dtype=D), T, method="rk4")[-1]
        results.append(torch.autograd.grad(end.sum(), own))
    for native, eager in zip(*results, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-9, atol=1e-12)
