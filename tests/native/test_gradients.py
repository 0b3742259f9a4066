"""Gradients of native solves: finite differences, then the eager engine, then gradients of gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine
from problems import Network

# Equal steps whatever the inputs: what "step sizes are constants of differentiation" means, so that finite
# differences see the same discrete solve.
_STEP = 0.11


def _options(method: str) -> dict[str, Any]:
    if flashode.METHODS[method].adaptive:
        return {"first_step": _STEP, "min_step": _STEP, "max_step": _STEP}
    return {"step_size": _STEP}


def _field(dtype: torch.dtype = torch.float64) -> Network:
    return Network(features=2, width=3, dtype=dtype)


def _times(direction: float = 1.0) -> Tensor:
    return direction * torch.tensor([0.1, 0.35, 0.41, 0.8], dtype=torch.float64)


def _states(*batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*batch, 2, dtype=torch.float64, generator=generator)


# One trajectory, one tile filled up, one tile full, and more than a tile: a tile of float64 has 8 lanes.
@pytest.mark.parametrize("batch", [(), (3,), (8,), (11,), (2, 5)], ids=str)
@pytest.mark.parametrize("method", list(flashode.METHODS))
def test_gradcheck(method: str, batch: tuple[int, ...]) -> None:
    field = _field()
    parameters = tuple(field.parameters())

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y0, t, method=method, options=_options(method))

    y0 = _states(*batch).requires_grad_()
    assert torch.autograd.gradcheck(solve, (y0, _times().requires_grad_(), *parameters))


@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "rk4"])
def test_gradcheck_of_decreasing_time(method: str) -> None:
    field = _field()

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y0, t, method=method, options=_options(method))

    inputs = (_states(3).requires_grad_(), _times(-1.0).requires_grad_(), *field.parameters())
    assert torch.autograd.gradcheck(solve, inputs)


@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("method", list(flashode.METHODS))
def test_gradients_are_the_eager_engine_s(method: str, adjoint: bool) -> None:
    field = _field()
    options = _options(method)
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    found = []
    for engine in ("native", "eager"):
        y0, t = _states(11).requires_grad_(), _times().requires_grad_()
        with use_engine(engine):
            states = solve(field, y0, t, method=method, options=options)
            loss = (states * torch.linspace(-1, 1, states.numel(), dtype=states.dtype).view_as(states)).sum()
            found.append(torch.autograd.grad(loss, (y0, t, *field.parameters())))
    for native, eager in zip(*found, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-12)


def test_gradients_of_gradients() -> None:
    field = _field()

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y0, t, method="rk4")

    inputs = (_states(2).requires_grad_(), _times().requires_grad_(), *field.parameters())
    assert torch.autograd.gradgradcheck(solve, inputs)


def test_the_continuous_adjoint_refuses_to_be_differentiated_twice() -> None:
    y0 = _states(2).requires_grad_()
    (first,) = torch.autograd.grad(
        flashode.odeint_adjoint(_field(), y0, _times()).sum(), y0, create_graph=True
    )
    with pytest.raises(RuntimeError, match="use odeint"):
        first.sum().backward()


def test_only_what_requires_grad_gets_one() -> None:
    field = _field()
    field.inner.weight.requires_grad_(False)
    flashode.odeint(field, _states(3), _times()).sum().backward()
    assert field.inner.weight.grad is None
    assert field.inner.bias.grad is not None
    assert field.outer.weight.grad is not None


def test_an_adjoint_parameter_that_is_not_used_gets_zeros() -> None:
    field = _field()
    spare = nn.Parameter(torch.ones(3, dtype=torch.float64))
    states = flashode.odeint_adjoint(field, _states(3), _times(), adjoint_params=(field.outer.weight, spare))
    states.sum().backward()
    assert torch.equal(spare.grad, torch.zeros(3, dtype=torch.float64))
    assert field.outer.weight.grad is not None
    assert field.inner.weight.grad is None


def test_a_parameter_computed_from_others_passes_its_gradient_on() -> None:
    class Antisymmetric(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor([[0.3, 1.0], [-0.4, 0.2]], dtype=torch.float64))

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y @ (self.a - self.a.T)

    field = Antisymmetric()
    found = []
    for solve in (flashode.odeint, flashode.odeint_adjoint):
        for engine in ("native", "eager"):
            with use_engine(engine):
                loss = solve(field, _states(5), _times(), rtol=1e-10, atol=1e-10).square().sum()
                loss = loss + solve(field, _states(5), _times(), rtol=1e-10, atol=1e-10)[1].sum()
                found.append(torch.autograd.grad(loss, field.a)[0])
    for other in found[1:]:
        torch.testing.assert_close(found[0], other, rtol=1e-7, atol=1e-8)


def test_changing_a_parameter_between_forward_and_backward_is_refused() -> None:
    field = _field()
    loss = flashode.odeint(field, _states(3), _times()).sum()
    with torch.no_grad():
        field.outer.weight.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_the_backward_pass_can_run_twice() -> None:
    y0 = _states(3).requires_grad_()
    loss = flashode.odeint(_field(), y0, _times()).square().sum()
    first = torch.autograd.grad(loss, y0, retain_graph=True)
    second = torch.autograd.grad(loss, y0)
    assert torch.equal(first[0], second[0])


def test_memory_of_the_record_is_steps_times_state() -> None:
    from flashode.engines import choose
    from flashode.problem import make_problem

    y0 = _states(64).requires_grad_()
    t = torch.linspace(0, 1, 51, dtype=torch.float64)
    problem = make_problem(_field(), y0, t, rtol=1e-7, atol=1e-9, method="rk4", options=None)
    record: Any = choose(problem, None).forward(record=True).record
    assert record.kept.steps == 50
    assert record.kept.bytes == 50 * y0.numel() * y0.element_size()
