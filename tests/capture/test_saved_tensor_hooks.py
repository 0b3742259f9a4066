"""Hooks for saved tensors see what a solve saves, and nothing of the capture before it."""

from __future__ import annotations

import cProfile
import warnings

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import flashode
from flashode.methods import METHODS

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
            solution = flashode.odeint(field, state(), T)
        torch.testing.assert_close(solution, flashode.odeint(field, state(), T), rtol=0, atol=0)


def test_a_first_solve_inside_of_a_checkpoint() -> None:
    results = []
    for reentrant in (None, False, True):
        linear, y0 = make_field(), state()

        def solved(y0: Tensor, linear: torch.nn.Module = linear) -> Tensor:
            return flashode.odeint(lambda t, y: torch.tanh(linear(y)), y0, T)

        with flashode.use_engine("native"):
            states = solved(y0) if reentrant is None else checkpoint(solved, y0, use_reentrant=reentrant)
            assert isinstance(states, Tensor)
            states.square().sum().backward()
        assert y0.grad is not None and linear.weight.grad is not None
        results.append((y0.grad, linear.weight.grad))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=0)


# Torch refuses to differentiate SciPy's solves, with hooks and without.
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"scipy_solver"}))
def test_new_batch_sizes_inside_of_a_checkpoint(method: str) -> None:
    linear = make_field()

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(linear(y))

    def solved(y0: Tensor) -> Tensor:
        return flashode.odeint(field, y0, T, method=method, rtol=1e-4, atol=1e-4)

    def gradients(states: Tensor, y0: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(states.square().sum(), [y0, *linear.parameters()])

    with warnings.catch_warnings():
        # Adams methods never run compiled, and say nothing of it.
        warnings.simplefilter("error", flashode.FallbackWarning)
        for size in (2, 5, 1, 3):
            y0 = torch.linspace(-1, 1, 3 * size, dtype=torch.float64).reshape(size, 3).requires_grad_()
            checked = checkpoint(solved, y0, use_reentrant=False)
            assert isinstance(checked, Tensor)
            actual, expected = gradients(checked, y0), gradients(solved(y0), y0)
            torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_profilers_are_no_hindrance() -> None:
    linear = make_field()
    expected = flashode.odeint(lambda t, y: torch.tanh(linear(y)), state(), T)
    profiler = cProfile.Profile()
    with flashode.use_engine("native"):
        profiler.enable()
        solution = flashode.odeint(lambda t, y: torch.tanh(linear(y)), state(), T)
        profiler.disable()
        with torch.autograd.profiler.profile():
            other = flashode.odeint(lambda t, y: torch.tanh(linear(y)), state(), T)
    torch.testing.assert_close((solution, other), (expected, expected), rtol=0, atol=0)
