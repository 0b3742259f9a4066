"""Hooks for saved tensors see what a solve saves, and nothing of the capture before it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import flashode

T = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)


class Hooks(saved_tensors_hooks):
    def __init__(self) -> None:
        self.packed = 0
        super().__init__(self.pack, lambda x: x)

    def pack(self, x: Tensor) -> Tensor:
        self.packed += 1
        return x


def make_field() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Linear(3, 3, dtype=torch.float64)


def state() -> Tensor:
    return torch.linspace(0, 1, 6, dtype=torch.float64).reshape(2, 3).requires_grad_()


def test_a_first_solve_saves_as_much_as_a_second() -> None:
    linear = make_field()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(linear(y))

    counts = []
    with flashode.use_engine("native"):
        for _ in range(2):
            inner, outer = Hooks(), Hooks()
            with outer:
                with inner:
                    flashode.odeint(field, state(), T)
                between = outer.packed
                (state() ** 2).sum()
            assert (between, outer.packed) == (0, 1)
            counts.append(inner.packed)
    assert counts[0] == counts[1] > 0


def test_fields_with_transforms_are_captured_beneath_hooks() -> None:
    linear = make_field()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.func.grad(lambda x: torch.tanh(linear(x)).sum())(y)

    with flashode.use_engine("native"):
        with Hooks():
            found = flashode.odeint(field, state(), T)
        torch.testing.assert_close(found, flashode.odeint(field, state(), T), rtol=0, atol=0)


def test_a_first_solve_inside_of_a_checkpoint() -> None:
    found = []
    for reentrant in (None, False, True):
        linear, y0 = make_field(), state()

        def solved(y0: Tensor, linear: torch.nn.Module = linear) -> Tensor:
            return flashode.odeint(lambda t, y: torch.tanh(linear(y)), y0, T)

        with flashode.use_engine("native"):
            states = solved(y0) if reentrant is None else checkpoint(solved, y0, use_reentrant=reentrant)
            assert isinstance(states, Tensor)
            states.square().sum().backward()
        assert y0.grad is not None and linear.weight.grad is not None
        found.append((y0.grad, linear.weight.grad))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)
