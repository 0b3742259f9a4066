"""The same call gives torchdiffeq's gradients, in y0, t and the parameters, in both modes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from compat.cases import ADAPTIVE, CASES, SHARED, Case, parts

# Adams iterations that do not converge: test_adams looks at the warnings.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Functional iteration did not converge", "ignore::flashode.ConvergenceWarning"
)

# The automatic first step carries a gradient in torchdiffeq, by accident: every adaptive solve here is
# given one.
FIRST_STEP = {"first_step": 0.05}

# Every method on the kinds of states and times; a few on the options, whose code is the same for all.
STATES = ["batch", "0-d", "tuple", "decreasing", "two times"]
FEW = ("dopri5", "bosh3", "midpoint", "rk4")
OTHERS = [
    "one trajectory",
    "two batch dimensions",
    "decreasing tuple",
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
PAIRS = [(name, method) for name in STATES for method in CASES[name].methods]
PAIRS += [(name, method) for name in OTHERS for method in CASES[name].methods if method in FEW]


Result = tuple[list[Tensor], int, int]


def gradients(solve: Callable[..., Any], case: Case, method: str) -> Result:
    """Gradients in y0, t and the parameters, and evaluations of the forward solve and of both."""
    func = case.make()
    y0 = tuple(part.clone().requires_grad_() for part in parts(case.y0))
    t = case.t.clone().requires_grad_()
    arguments = case.arguments(method)
    if method in ADAPTIVE:
        arguments["options"] = {**FIRST_STEP, **arguments["options"]}
    solution = solve(func, y0 if isinstance(case.y0, tuple) else y0[0], t, **arguments)
    forward = func.nfe
    loss = sum(
        (part * torch.cos(torch.arange(part.numel()).reshape(part.shape))).sum() for part in parts(solution)
    )
    inputs = [*y0, t, *func.parameters()]
    return list(torch.autograd.grad(loss, inputs)), forward, func.nfe


@cache
def reference(mode: str, name: str, method: str) -> Result:
    """What torchdiffeq gives; the same for every engine."""
    return gradients(getattr(torchdiffeq, mode), CASES[name], method)


def check(actual: list[Tensor], expected: list[Tensor]) -> None:
    for x, y in zip(actual, expected, strict=True):
        assert x.dtype == y.dtype
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5 * float(y.abs().max()))


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_odeint(engine: str, name: str, method: str) -> None:
    actual, _, evaluations = gradients(flashode.odeint, CASES[name], method)
    expected, _, their_evaluations = reference("odeint", name, method)
    check(actual, expected)
    assert evaluations == their_evaluations


@pytest.mark.parametrize(
    ("name", "method"),
    # torchdiffeq's adjoint does not take tensor tolerances: see test_adjoint_arguments.
    [(name, method) for name, method in PAIRS if not isinstance(CASES[name].rtol, Tensor)],
)
def test_odeint_adjoint(engine: str, name: str, method: str) -> None:
    actual, *evaluations = gradients(flashode.odeint_adjoint, CASES[name], method)
    expected, *their_evaluations = reference("odeint_adjoint", name, method)
    check(actual, expected)
    assert evaluations == their_evaluations


@pytest.mark.parametrize("method", SHARED)
@pytest.mark.parametrize("mode", ["odeint", "odeint_adjoint"])
def test_times_without_gradient(engine: str, mode: str, method: str) -> None:
    """Engines may leave out what only the gradient in t needs, but not what the step control sees."""
    case = CASES["batch"]
    results = []
    for library in (torchdiffeq, flashode):
        func = case.make()
        y0 = case.y0.clone().requires_grad_()
        arguments = case.arguments(method)
        if method in ADAPTIVE:
            arguments["options"] = FIRST_STEP
        loss = getattr(library, mode)(func, y0, case.t, **arguments).square().sum()
        results.append((list(torch.autograd.grad(loss, [y0, *func.parameters()])), func.nfe))
    (expected, their_evaluations), (actual, evaluations) = results
    check(actual, expected)
    assert evaluations == their_evaluations
