"""Gradients of the eager adjoint in parameters of every kind, against autograd through the solve."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import odeint, odeint_adjoint

D, C = torch.float64, torch.complex128
T = torch.tensor([0.0, 0.6, 1.0], dtype=D)
METHODS: dict[str, dict[str, Any]] = {
    "dopri5": {"method": "dopri5", "rtol": 1e-9, "atol": 1e-11},
    "implicit": {"method": "gl4", "options": {"step_size": 0.05}},
}


@pytest.fixture(autouse=True)
def eagerly() -> Iterator[None]:
    with flashode.use_engine("eager"), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Mixed(nn.Module):
    """A field of a parameter of any dtype; for states of any dtype."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3 + 0.2j, 0.5 - 0.1j]).real.to(dtype))
        if dtype.is_complex:
            self.weight = nn.Parameter(torch.tensor([0.3 + 0.2j, 0.5 - 0.1j]).to(dtype))
        self.shift = nn.Parameter(torch.tensor(0.4, dtype=D))
        self.unused = nn.Parameter(torch.ones(3, dtype=dtype))
        self.register_buffer("count", torch.tensor(2))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        weight = self.weight.to(C if self.weight.is_complex() else D)
        if y.is_complex():
            return ((weight * weight).conj() * torch.sin(y) + self.shift * t * self.count).to(y.dtype)
        size = (weight * weight).real + weight.imag * t if weight.is_complex() else weight * weight
        return (size * torch.sin(y) + self.shift * t * self.count).to(y.dtype)


def gradients(func: Mixed, solver: Any, state: torch.dtype, **arguments: Any) -> tuple[Tensor, ...]:
    y0 = torch.tensor([1.0, 2.0], dtype=state, requires_grad=True)
    states = solver(func, y0, T, **arguments)
    loss = (states[1:] * torch.tensor([1.0, -2.0]).to(state)).abs().square().sum()
    return torch.autograd.grad(loss, (y0, func.weight, func.shift))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("state", [D, torch.float32, C, torch.complex64])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, D, torch.complex64, C], ids=str
)
def test_dtypes(dtype: torch.dtype, state: torch.dtype, name: str) -> None:
    # Both methods' gradients to about the precision of the coarsest of what they are made of.
    coarse = max(torch.finfo(kind).eps for kind in (dtype, state))
    arguments = METHODS[name]
    if name == "dopri5":
        arguments = {"method": "dopri5", "rtol": max(1e-9, coarse), "atol": max(1e-10, coarse)}
    actual = gradients(Mixed(dtype), odeint_adjoint, state, **arguments)
    right = gradients(Mixed(dtype), odeint, state, **arguments)
    precision = max(5e3 * coarse if coarse < 1e-6 else 10 * coarse, 1e-5)
    for one, other in zip(actual, right, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=precision, atol=precision)


@pytest.mark.parametrize("norm", ["seminorm", "custom", "tolerances", "replaced"])
def test_norms_of_complex_parameters(norm: str) -> None:
    """A norm sees the gradients as they are; each part of the augmented state may have a tolerance."""
    func = Mixed(C)
    seen: list[tuple[Tensor, ...]] = []

    def largest(parts: tuple[Tensor, ...]) -> Tensor:
        seen.append(parts)
        return torch.stack([part.abs().max() for part in parts]).max()

    more: dict[str, Any] = {"adjoint_options": {"norm": {"seminorm": "seminorm"}.get(norm, largest)}}
    if norm == "tolerances":
        more = {"adjoint_rtol": (1e-9,) * 6, "adjoint_atol": (1e-11, 1e-11, 1e-11, 1e-10, 1e-10, 1e-10)}
    solver = odeint_adjoint
    if norm == "replaced":
        more = {}

        def solver(*positional: Any, **arguments: Any) -> Any:
            states = odeint_adjoint(*positional, **arguments)
            states.grad_fn.adjoint_options["norm"] = largest
            return states

    actual = gradients(func, solver, D, **METHODS["dopri5"], **more)
    for one, other in zip(actual, gradients(func, odeint, D, **METHODS["dopri5"]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    if seen:
        shapes = [tuple(part.shape) for part in seen[0]]
        assert shapes == [(), (2,), (2,), (2,), (), (3,)]
        assert [part.is_complex() for part in seen[0]] == [False, False, False, True, False, True]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("frozen", ["weight", "shift", "unused", "all"])
@pytest.mark.parametrize("dtype", [D, C])
def test_frozen_before_the_backward_pass(dtype: torch.dtype, frozen: str, name: str) -> None:
    """It gets no gradient; y0 and the others get theirs, as by autograd through the solve."""

    def gradient_of(solver: Any) -> dict[str, Tensor | None]:
        func = Mixed(dtype)
        y0 = torch.tensor([1.0, 2.0], dtype=D, requires_grad=True)
        loss = solver(func, y0, T, **METHODS[name])[-1].square().sum()
        (func if frozen == "all" else getattr(func, frozen)).requires_grad_(False)
        loss.backward()
        return {"y0": y0.grad, **{name: p.grad for name, p in func.named_parameters()}}

    ours, right = gradient_of(odeint_adjoint), gradient_of(odeint)
    for part in right:
        if part == "unused":
            # The adjoint has zeros for what is not used.
            assert ours[part] is None or not ours[part].any()
        elif right[part] is None:
            assert ours[part] is None
        else:
            torch.testing.assert_close(ours[part], right[part], rtol=1e-5, atol=1e-5)
