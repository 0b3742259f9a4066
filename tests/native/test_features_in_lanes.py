"""One trajectory by itself: the same as it is among others, by kernels that fill their vectors otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from field_vocabulary import ELEMENTWISE
from native_methods import NATIVE_METHODS

TIMES = (0.0, 0.3, 0.7)
# No multiple of a vector's length, less than one, and a few of them with something left over.
WIDTHS = (1, 3, 8, 13, 37)


class Mixed(nn.Module):
    """A perceptron, a product with a matrix made of the state, sums over parts of it, and the time."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.first = nn.Linear(width, 2 * width + 1, dtype=dtype)
        self.second = nn.Linear(2 * width + 1, width, bias=False, dtype=dtype)
        self.gain = nn.Parameter(torch.linspace(0.1, 0.9, width, dtype=dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        turned = torch.einsum("bij,bj->bi", torch.tanh(y)[:, :, None] * self.gain, y)
        mean = y.mean(-1, keepdim=True)
        return self.second(torch.nn.functional.elu(self.first(y))) - 0.1 * turned + torch.sin(t) * mean


def _solved(
    solve: Callable[..., Tensor], field: nn.Module, y0: Tensor, method: str
) -> tuple[Tensor, list[Tensor]]:
    """States and gradients, of a sum over trajectories."""
    for parameter in field.parameters():
        parameter.grad = None
    start = y0.clone().requires_grad_()
    times = torch.tensor(TIMES, dtype=y0.dtype, requires_grad=True)
    options = None if flashode.METHODS[method].control == "error" else {"step_size": 0.11}
    with flashode.use_engine("native"):
        states = solve(field, start, times, method=method, options=options, rtol=1e-6, atol=1e-6)
        (states.sin().sum()).backward()
    gradients = [p.grad.clone() for p in field.parameters() if p.grad is not None]
    return states.detach(), [start.grad, times.grad, *gradients]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("method", NATIVE_METHODS)
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_a_trajectory_is_the_same_alone_and_among_its_equals(
    solve: Callable[..., Tensor], method: str, width: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(width)
    field = Mixed(width, dtype)
    y0 = torch.randn(1, width, dtype=dtype)
    single, own = _solved(solve, field, y0, method)
    together, shared = _solved(solve, field, y0.repeat(2, 1), method)
    # Twice the same has the same error norm, so the same steps but for rounding; all but y0 receives twice
    # the gradient. With it the norm of the adjoint equations changes, and their steps.
    adaptive = flashode.METHODS[method].control == "error"
    if adaptive and solve is flashode.odeint_adjoint:
        allowed = 1e-3
    else:
        allowed = (1e8 if adaptive else 1e4) * torch.finfo(torch.float64).eps
    allowed = max(allowed, 1e4 * torch.finfo(dtype).eps)
    close = {"rtol": allowed, "atol": allowed}
    torch.testing.assert_close(single, together[:, :1], **close)
    torch.testing.assert_close(own[0], shared[0][:1], **close)
    for mine, ours in zip(own[1:], shared[1:], strict=True):
        torch.testing.assert_close(2 * mine, ours, **close)


@pytest.mark.parametrize("expression", ELEMENTWISE)
def test_functions_have_no_tail(expression: str) -> None:
    """Of 37 numbers the last few do not fill a vector."""
    space: dict[str, Any] = {"torch": torch, "F": nn.functional}
    exec(f"def field(t, y): return {expression.format(v='y')}", space)
    y0 = torch.linspace(-1.4, 1.5, 37, dtype=torch.float64)[None].requires_grad_()
    t = torch.tensor([0.2, 0.5], dtype=torch.float64)
    results = {}
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            states = flashode.odeint(space["field"], y0, t, method="rk4")
            results[engine] = states.detach(), torch.autograd.grad(states.sum(), y0)[0]
    torch.testing.assert_close(results["native"], results["eager"], rtol=1e-12, atol=1e-12)
