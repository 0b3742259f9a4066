"""Tensors that a field makes of numbers among which there is t."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from capture.agreement import D, Y, declined, evaluated, must_capture, true
from flashode.capture import Capture

# Torch warns of some of these in eager solves too.
pytestmark = pytest.mark.filterwarnings("ignore:To copy construct")

MADE: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "tensor of a list": lambda t, y: torch.tensor([t]),
    "tensor of numbers too": lambda t, y: torch.tensor([t, 1.0, 2]),
    "tensor of integers too": lambda t, y: torch.tensor([1, t, 2]),
    "tensor of lists": lambda t, y: torch.tensor([[t, 0.5, 1.0], (1.0, t, 2.0)])[1],
    "tensor of t": lambda t, y: torch.tensor(t).type_as(y),
    "tensor of a function of t": lambda t, y: torch.tensor([t.sin(), t * 2, 1.0]),
    "tensor of a dtype": lambda t, y: torch.tensor([t, 1.0, t], dtype=y.dtype),
    "tensor to be differentiated": lambda t, y: torch.tensor([t, 1.0, t]).requires_grad_(),
    "as_tensor": lambda t, y: torch.as_tensor([t, 1.0, t], dtype=y.dtype, device=y.device),
    "new_tensor": lambda t, y: y.new_tensor([t, 1.0, t]),
    "new_tensor of t": lambda t, y: y.new_tensor(t),
    "full": lambda t, y: torch.full((3,), t),
    "full for each": lambda t, y: torch.full((y.shape[0], 1), t, dtype=y.dtype, device=y.device),
    "full_like": lambda t, y: torch.full_like(y, t),
    "new_full": lambda t, y: y.new_full((y.shape[0], 1), t),
    "new_full by name": lambda t, y: y.new_full(size=(1,), fill_value=t * 2),
}


@pytest.mark.parametrize("dtype", [torch.float32, D])
@pytest.mark.parametrize("name", MADE)
def test_values(name: str, dtype: torch.dtype) -> None:
    made, y = MADE[name], Y.to(dtype)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return (y * made(t, y)).to(y.dtype)

    kinds = {"full", "tensor of a list"} if dtype is D else set()
    captured = must_capture(field, y) if name not in kinds else None
    if captured is None:
        return  # torch.full makes float32 of a t in float64, which a Program does not
    for time in (0.3, 1.7):
        t = torch.tensor(time, dtype=dtype)
        torch.testing.assert_close(evaluated(captured, t, y), field(t, y))


@pytest.mark.parametrize("name", MADE)
def test_no_gradient_flows_into_t(name: str) -> None:
    made = MADE[name]

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * made(t, y) + y.sum(-1, keepdim=True) * t

    captured = true(field, torch.tensor(0.3), Y)
    t = torch.tensor(0.3, requires_grad=True)
    (gradient,) = torch.autograd.grad(evaluated(captured, t, Y).sum(), t)
    torch.testing.assert_close(gradient, 3 * Y.sum())


def test_what_is_not_numbers() -> None:
    for field in (
        lambda t, y: y * torch.tensor([t.reshape(1), 1.0, 2.0]),
        lambda t, y: y * torch.full((3,), float(t)),
    ):
        declined(field)  # type: ignore[arg-type]


def test_torch_is_as_it_was() -> None:
    before = torch.full, torch.full_like, "new_full" in Tensor.__dict__
    must_capture(lambda t, y: y * torch.full((3,), t))
    declined(lambda t, y: y * torch.full((3,), t.item()))
    assert before == (torch.full, torch.full_like, "new_full" in Tensor.__dict__)


@pytest.mark.parametrize("name", ["tensor of t", "full for each", "new_full"])
def test_a_solve(name: str) -> None:
    made = MADE[name]
    times = torch.linspace(0, 1, 5)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y * made(t, y)

    solved = []
    for engine in ("native", "eager"):
        with flashode.use_engine(engine):
            solved.append(flashode.odeint(field, Y, times))
    torch.testing.assert_close(*solved)
    assert isinstance(must_capture(field), Capture)
