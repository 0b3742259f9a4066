"""The same call gives torchdiffeq's gradients, in y0, t and the parameters, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from compat.cases import ADAPTIVE, CASES, SHARED, Case, parts
from problems import Counting
from torch import Tensor

import flashode

# The automatic first step carries a gradient in torchdiffeq, by accident: every adaptive solve here is given one.
FIRST_STEP = {"first_step": 0.05}

NAMES = [
    "batch",
    "one trajectory",
    "0-d",
    "two batch dimensions",
    "tuple",
    "decreasing",
    "decreasing tuple",
    "two times",
    "float32 times",
    "step size",
    "step size, decreasing",
    "cubic",
    "perturb",
    "step limits",
    "controller",
    "tolerance of each element",
    "prescribed steps",
    "jumps",
]
PAIRS = [(name, method) for name in NAMES for method in CASES[name].methods]


def gradients(
    solve: Callable[..., Any], case: Case, method: str, **more: Any
) -> tuple[list[Tensor], Counting, int]:
    """Gradients in y0, t and the parameters; the field; and its evaluations in the forward solve."""
    func = case.make()
    y0 = tuple(part.clone().requires_grad_() for part in parts(case.y0))
    t = case.t.clone().requires_grad_()
    arguments = case.arguments(method)
    if method in ADAPTIVE:
        arguments["options"] = {**FIRST_STEP, **arguments["options"]}
    solution = solve(func, y0 if isinstance(case.y0, tuple) else y0[0], t, **arguments, **more)
    forward = func.nfe
    loss = sum((part * torch.cos(torch.arange(part.numel()).reshape(part.shape))).sum() for part in parts(solution))
    inputs = [*y0, t, *func.parameters()]
    return list(torch.autograd.grad(loss, inputs)), func, forward


def check(found: list[Tensor], expected: list[Tensor]) -> None:
    for x, y in zip(found, expected, strict=True):
        assert x.dtype == y.dtype
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5 * float(y.abs().max()))


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_odeint(engine: str, name: str, method: str) -> None:
    expected, _, _ = gradients(torchdiffeq.odeint, CASES[name], method)
    found, _, _ = gradients(flashode.odeint, CASES[name], method)
    check(found, expected)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_odeint_adjoint(engine: str, name: str, method: str) -> None:
    case = CASES[name]
    if isinstance(case.rtol, Tensor):
        pytest.skip("torchdiffeq's adjoint does not take tensor tolerances: see test_adjoint_arguments")
    if name in ("prescribed steps", "jumps") and method in ("fehlberg2", "adaptive_heun"):
        pytest.skip("hundreds of steps in each of many reverse solves: slow, and the same code as for dopri5")
    expected, theirs, theirs_forward = gradients(torchdiffeq.odeint_adjoint, case, method)
    found, ours, ours_forward = gradients(flashode.odeint_adjoint, case, method)
    check(found, expected)
    assert (ours_forward, ours.nfe) == (theirs_forward, theirs.nfe)


@pytest.mark.parametrize("method", SHARED)
def test_fixed_times(engine: str, method: str) -> None:
    """Without a gradient in t, which engines may treat apart."""
    case = CASES["batch"]
    results = []
    for library in (torchdiffeq, flashode):
        for solve in (library.odeint, library.odeint_adjoint):
            func = case.make()
            y0 = case.y0.clone().requires_grad_()
            arguments = case.arguments(method)
            if method in ADAPTIVE:
                arguments["options"] = FIRST_STEP
            loss = solve(func, y0, case.t, **arguments).square().sum()
            results.append((list(torch.autograd.grad(loss, [y0, *func.parameters()])), func.nfe))
    for (expected, their_count), (found, our_count) in zip(results[:2], results[2:], strict=True):
        check(found, expected)
        assert our_count == their_count
