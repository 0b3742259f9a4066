"""Transforms of ``torch.func`` over whole solves, which plain torch runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from flashode import FallbackWarning, odeint, use_engine

Y0 = torch.tensor([[1.0, -0.5], [0.3, 2.0]], dtype=torch.float64)
T = torch.tensor([0.1, 0.5, 1.2], dtype=torch.float64)
SCALE = torch.tensor([0.7, 1.3], dtype=torch.float64)


@pytest.fixture(autouse=True)
def without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        # Of torch's own first use of forward derivatives.
        warnings.filterwarnings("ignore", ".*torch.jit.script.*deprecated", DeprecationWarning)
        # Else torch says each thing once in a process, and only in the first of the tests would it be seen.
        torch.set_warn_always(True)
        yield
        torch.set_warn_always(False)


def field(t: Tensor, y: Tensor) -> Tensor:
    return torch.sin(y) * t - y


def scaled(scale: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: torch.tanh(y * scale)


@pytest.mark.parametrize("method", ["dopri5", "rk4", "trbdf2", "gl4", "explicit_adams"])
@pytest.mark.parametrize("seen_before", [False, True], ids=["fresh", "captured"])
@pytest.mark.parametrize("what", ["y0", "t", "closure"])
def test_transforms_agree_with_autograd(what: str, seen_before: bool, method: str) -> None:
    solves: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
        "y0": (lambda y0: odeint(field, y0, T, method=method), Y0),
        "t": (lambda t: odeint(field, Y0, t, method=method), T),
        "closure": (lambda scale: odeint(scaled(scale), Y0, T, method=method), SCALE),
    }
    solve, at = solves[what]
    if seen_before:
        solve(at)
    with use_engine("eager"):
        expected = torch.autograd.functional.jacobian(solve, at)
    assert isinstance(expected, Tensor)
    dims = tuple(range(-at.dim(), 0))
    tangent = torch.linspace(0.5, 1.5, at.numel(), dtype=at.dtype).reshape(at.shape)
    gradient = torch.func.grad(lambda x: solve(x).sum())(at)
    torch.testing.assert_close(gradient, expected.sum(tuple(range(expected.dim() - at.dim()))))
    torch.testing.assert_close(torch.func.jacrev(solve)(at), expected)
    _, moved = torch.func.jvp(solve, (at,), (tangent,))
    torch.testing.assert_close(moved, (expected * tangent).sum(dims))
