"""Dense output from the compiled engine's steps, as from the eager one's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode import use_engine
from flashode.methods import TABLEAUX
from native_methods import NATIVE_METHODS
from problems import Network, Pair, values

D = torch.float64
# Adaptive methods have one interpolant.
WAYS = [
    (method, interp)
    for method in NATIVE_METHODS
    for interp in ([None] if flashode.METHODS[method].control == "error" else ["linear", "cubic"])
]
QUERIES = torch.tensor([0.1, 0.17, 0.35, 0.36, 0.79, 0.8], dtype=D)


def _options(method: str) -> dict[str, Any]:
    if flashode.METHODS[method].control == "error":
        return {"first_step": 0.11, "min_step": 0.11, "max_step": 0.11}
    return {"step_size": 0.11}


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
@pytest.mark.parametrize(("method", "interp"), WAYS)
def test_every_method(method: str, interp: str | None, direction: float) -> None:
    options = _options(method) if interp is None else {**_options(method), "interp": interp}
    results = []
    for engine in ("native", "eager"):
        field = Network(features=2, width=3)
        y0 = values(11, 2, seed=1).requires_grad_()
        t0 = (direction * torch.tensor(0.1, dtype=D)).requires_grad_()
        t1 = (direction * torch.tensor(0.8, dtype=D)).requires_grad_()
        queries = (direction * QUERIES).requires_grad_()
        with use_engine(engine):
            dense = flashode.odeint_dense(field, y0, t0, t1, method=method, options=options)
            ys = dense(queries)
            loss = (ys * torch.linspace(-1, 1, ys.numel(), dtype=D).view_as(ys)).sum()
            inputs = (y0, t0, t1, queries, *field.parameters())
            gradients = torch.autograd.grad(loss, inputs, materialize_grads=True)
        results.append((field.nfe, ys, gradients))
    (native_nfe, native, native_gradients), (eager_nfe, eager, eager_gradients) = results
    # How often Newton's method asks the field is each engine's business.
    assert native_nfe == eager_nfe or TABLEAUX[method].equations != "none"
    torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-11)
    for a, b in zip(native_gradients, eager_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("option", ["step_t", "jump_t"])
def test_prescribed_times(option: str) -> None:
    results = []
    for engine in ("native", "eager"):
        field = Network(features=2, width=3)
        y0 = values(3, 2, seed=1).requires_grad_()
        t0 = torch.tensor(0.1, dtype=D, requires_grad=True)
        options = {option: [0.2, 0.7], **_options("dopri5")}
        with use_engine(engine):
            ys = flashode.odeint_dense(field, y0, t0, torch.tensor(0.8, dtype=D), options=options)(QUERIES)
            results.append((ys, *torch.autograd.grad(ys.square().sum(), (y0, t0, *field.parameters()))))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


def test_a_tuple_state() -> None:
    results = []
    for engine in ("native", "eager"):
        y0 = (values(5, 3), values(5, 1, seed=1))
        with use_engine(engine):
            dense = flashode.odeint_dense(Pair(), y0, torch.tensor(0.0, dtype=D), torch.tensor(1.0, dtype=D))
            results.append(dense(QUERIES))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


def test_gradcheck() -> None:
    field = Network(features=2, width=3)

    def solve(y0: Tensor, t0: Tensor, queries: Tensor, *_: Tensor) -> Any:
        t1 = torch.tensor(0.8, dtype=D)
        return flashode.odeint_dense(field, y0, t0, t1, options=_options("dopri5"))(queries)

    queries = torch.tensor([0.17, 0.36, 0.79], dtype=D, requires_grad=True)
    inputs = (values(2, 2).requires_grad_(), torch.tensor(0.1, dtype=D, requires_grad=True), queries)
    assert torch.autograd.gradcheck(solve, (*inputs, *field.parameters()))
