"""Gradients of native solves: finite differences, then the eager engine, then gradients of gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine
from native_methods import NATIVE_METHODS
from problems import Network

# Equal steps whatever the inputs: what "step sizes are constants of differentiation" means, so that finite
# differences see the same discrete solve.
_STEP = 0.11


def _options(method: str) -> dict[str, Any]:
    if flashode.METHODS[method].control == "error":
        return {"first_step": _STEP, "min_step": _STEP, "max_step": _STEP}
    return {"step_size": _STEP}


def _field(dtype: torch.dtype = torch.float64) -> Network:
    return Network(features=2, width=3, dtype=dtype)


def _times(direction: float = 1.0) -> Tensor:
    return direction * torch.tensor([0.1, 0.35, 0.41, 0.8], dtype=torch.float64)


def _states(*batch: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*batch, 2, dtype=torch.float64, generator=generator)


# One trajectory, one tile filled up, one tile full, and more than a tile: a tile of float64 has 8 lanes. Of a
# method of each kind every element of the Jacobian, of the others its product with random vectors.
@pytest.mark.parametrize("batch", [(), (3,), (8,), (11,), (2, 5)], ids=str)
@pytest.mark.parametrize("method", NATIVE_METHODS)
def test_gradcheck(method: str, batch: tuple[int, ...]) -> None:
    field = _field()
    parameters = tuple(field.parameters())

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y0, t, method=method, options=_options(method))

    inputs = (_states(*batch).requires_grad_(), _times().requires_grad_(), *parameters)
    whole = batch == (3,) and method in ("dopri5", "rk4", "radauIIA5")
    assert torch.autograd.gradcheck(solve, inputs, fast_mode=not whole)


@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "rk4"])
def test_gradcheck_of_decreasing_time(method: str) -> None:
    field = _field()

    def solve(y0: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y0, t, method=method, options=_options(method))

    inputs = (_states(3).requires_grad_(), _times(-1.0).requires_grad_(), *field.parameters())
    assert torch.autograd.gradcheck(solve, inputs)


@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("method", NATIVE_METHODS)
def test_gradients_are_the_eager_engine_s(method: str, adjoint: bool) -> None:
    field = _field()
    options = _options(method)
    solve = flashode.odeint_adjoint if adjoint else flashode.odeint
    results = []
    for engine in ("native", "eager"):
        y0, t = _states(11).requires_grad_(), _times().requires_grad_()
        with use_engine(engine):
            states = solve(field, y0, t, method=method, options=options)
            loss = (states * torch.linspace(-1, 1, states.numel(), dtype=states.dtype).view_as(states)).sum()
            results.append(torch.autograd.grad(loss, (y0, t, *field.parameters())))
    for native, eager in zip(*results, strict=True):
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
    results = []
    for solve in (flashode.odeint, flashode.odeint_adjoint):
        for engine in ("native", "eager"):
            with use_engine(engine):
                loss = solve(field, _states(5), _times(), rtol=1e-10, atol=1e-10).square().sum()
                loss = loss + solve(field, _states(5), _times(), rtol=1e-10, atol=1e-10)[1].sum()
                results.append(torch.autograd.grad(loss, field.a)[0])
    for other in results[1:]:
        torch.testing.assert_close(results[0], other, rtol=1e-7, atol=1e-8)


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


def _checkpoint_bytes(states: Tensor) -> int:
    node: Any = states.grad_fn
    return sum(x.numel() * x.element_size() for x in node.saved_tensors[len(node.kinds) :] if x is not None)


def test_memory_kept_is_steps_times_state() -> None:
    y0 = _states(64).requires_grad_()
    t = torch.linspace(0, 1, 51, dtype=torch.float64)
    states = flashode.odeint(_field(), y0, t, method="rk4")
    assert _checkpoint_bytes(states) == 50 * y0.numel() * y0.element_size()


def test_checkpoints_are_freed_with_the_graph() -> None:
    states = flashode.odeint(_field(), _states(8).requires_grad_(), _times())
    states.sum().backward()
    with pytest.raises(RuntimeError, match="second time"):
        states.sum().backward()
    node: Any = states.grad_fn
    with pytest.raises(RuntimeError, match="freed"):
        node.saved_tensors  # noqa: B018


def test_a_stage_at_the_end_of_a_step_is_reversed_where_it_was_evaluated() -> None:
    """start + (end - start) need not be end, and a field may jump in between."""
    start, end = 0.3, 0.9
    assert start + (end - start) != end

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.relu(1e16 * (t - end) + 1.0) * weight * y

    weight = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    results = []
    for engine in ("native", "eager"):
        with use_engine(engine):
            y0 = torch.tensor([[1.3]], dtype=torch.float64)
            states = flashode.odeint(field, y0, torch.tensor([start, end], dtype=torch.float64), method="rk4")
            results.append(torch.autograd.grad(states.sum(), weight)[0])
    assert results[1].abs().item() > 0
    torch.testing.assert_close(results[0], results[1])


def test_tensors_with_a_pending_negation_are_read_as_they_look() -> None:
    negated = torch.complex(torch.zeros(3, 2, dtype=torch.float64), _states(3)).conj().imag
    assert negated.is_neg()
    torch.testing.assert_close(flashode.odeint(_field(), negated, _times())[0], -_states(3))


def test_batched_gradients() -> None:
    field = _field()
    y0 = _states(3)

    def end(y: Tensor) -> Any:
        return flashode.odeint(field, y, _times(), method="rk4")[-1]

    plain = torch.autograd.functional.jacobian(end, y0)
    torch.testing.assert_close(torch.autograd.functional.jacobian(end, y0, vectorize=True), plain)
    y0.requires_grad_()
    states = flashode.odeint_adjoint(field, y0, _times())
    with pytest.raises(RuntimeError, match="use odeint"):
        torch.autograd.grad(
            states, y0, torch.ones(2, *states.shape, dtype=torch.float64), is_grads_batched=True
        )


def test_a_tensor_without_gradient_may_change_before_the_reverse_pass() -> None:
    layer = nn.Linear(2, 2).double()
    control = torch.zeros(2, dtype=torch.float64)
    results = []
    for engine in ("native", "eager"):
        state = _states(3)
        with use_engine(engine):
            for value in (0.1, -0.4):
                control.fill_(value)
                state = flashode.odeint(lambda t, y: layer(y) + control, state, _times(), method="rk4")[-1]
            results.append(torch.autograd.grad(state.sum(), layer.weight)[0])
    torch.testing.assert_close(results[0], results[1])


def test_only_parameters_of_the_adjoint_are_integrated() -> None:
    """An encoding that is no adjoint parameter costs no steps and gets no gradient."""

    class Field(Network):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return super().forward(t, y) + code.sum()

    code = nn.Linear(2, 3).double()(_states(4))
    counts = []
    for engine in ("native", "eager"):
        field = Field(features=2, width=3)
        with use_engine(engine):
            states = flashode.odeint_adjoint(field, _states(3), _times())
            states.sum().backward()
        counts.append(field.nfe)
    assert counts[0] == counts[1]
