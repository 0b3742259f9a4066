"""Gradients beyond what is compared with torchdiffeq."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from compat.cases import values
from flashode import METHODS, odeint, odeint_adjoint, use_engine
from flashode.methods import Adams, Method, SciPy
from problems import ComplexRotation, Network, Scalar

T = torch.tensor([0.0, 0.3, 0.5], dtype=torch.float64)
DIFFERENTIABLE = [name for name, method in METHODS.items() if not isinstance(method, SciPy)]


def options_for(name: str) -> dict[str, float]:
    method: Method = METHODS[name]
    # A finite difference sees the step sizes move unless they are fixed.
    if method.control == "error":
        return {"first_step": 0.2, "min_step": 0.2, "max_step": 0.2}
    return {"step_size": 0.11, "max_iters": 20} if isinstance(method, Adams) else {"step_size": 0.2}


@pytest.mark.parametrize("method", DIFFERENTIABLE)
def test_gradcheck(engine: str, method: str) -> None:
    func = Network(features=2, width=3)

    def solve(y0: Tensor, t: Tensor, *parameters: Tensor) -> Tensor:
        # gradcheck moves its inputs in place, and these are the field's own parameters.
        return odeint(func, y0, t, method=method, options=options_for(method))

    inputs = (values(3, 2).requires_grad_(), T.clone().requires_grad_(), *func.parameters())
    whole = method in ("dopri5", "rk4", "radauIIA5", "implicit_adams")
    assert torch.autograd.gradcheck(solve, inputs, fast_mode=not whole)


@pytest.mark.parametrize("method", ["dopri5", "rk4", "heun2"])
def test_double_backward(engine: str, method: str) -> None:
    func = Network(features=2, width=2)

    def solve(y0: Tensor, t: Tensor) -> Tensor:
        return odeint(func, y0, t, method=method, options=options_for(method))

    inputs = (values(2, 2).requires_grad_(), T[:2].clone().requires_grad_())
    assert torch.autograd.gradgradcheck(solve, inputs)


def test_gradient_penalty(engine: str) -> None:
    """The gradient of a gradient reaches the parameters, as in gradient penalties."""
    func = Network()
    y0 = values(4, 3).requires_grad_()
    results = []
    for name in (engine, "eager"):
        with use_engine(name):
            y = odeint(func, y0, T, options={"first_step": 0.1})
            (slope,) = torch.autograd.grad(y[-1].sum(), y0, create_graph=True)
            results.append(torch.autograd.grad(slope.square().sum(), list(func.parameters())[:3]))
    for x, y in zip(*results, strict=True):
        assert x.abs().sum() > 0
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-9)


def test_adjoint_says_what_to_use_for_a_second_derivative(engine: str) -> None:
    func = Network()
    y0 = values(4, 3).requires_grad_()
    y = odeint_adjoint(func, y0, T)
    (slope,) = torch.autograd.grad(y.sum(), y0, create_graph=True)
    (plain,) = torch.autograd.grad(odeint_adjoint(func, y0, T).sum(), y0)
    torch.testing.assert_close(slope.detach(), plain)
    with pytest.raises(RuntimeError, match="use odeint"):
        slope.square().sum().backward()


def test_backward_twice(engine: str) -> None:
    for solve in (odeint, odeint_adjoint):
        y0 = values(4, 3).requires_grad_()
        y = solve(Network(), y0, T)
        first = torch.autograd.grad(y.sum(), y0, retain_graph=True)
        second = torch.autograd.grad(y.sum(), y0)
        torch.testing.assert_close(first, second)


def test_closure_tensors_get_gradients() -> None:
    weight = (0.4 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    scale = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    transposed = weight.T * scale

    def solve(weight: Tensor, scale: Tensor) -> Tensor:
        return odeint(lambda t, y: torch.sin(y @ (weight.T * scale)), values(2, 3), T, method="rk4")

    with use_engine("eager"):
        y = odeint(lambda t, y: torch.sin(y @ transposed), values(2, 3), T, method="rk4")
        y.sum().backward()
        assert torch.autograd.gradcheck(
            solve, (weight.detach().requires_grad_(), scale.detach().requires_grad_())
        )
        expected = torch.autograd.grad(solve(weight, scale).sum(), (weight, scale))
    torch.testing.assert_close((weight.grad, scale.grad), expected)


def test_adjoint_through_a_graph_made_before() -> None:
    """adjoint_params need not be leaves, and may share a graph with what the field computes with."""
    raw = torch.full((3, 3), 0.1, dtype=torch.float64, requires_grad=True)
    weight = torch.tanh(raw)
    inner = weight * weight
    tight = {"rtol": 1e-10, "atol": 1e-11}
    with use_engine("eager"):
        y = odeint_adjoint(
            lambda t, y: -(y @ (weight + inner)), values(2, 3), T, adjoint_params=(weight,), **tight
        )
        (gradient,) = torch.autograd.grad(y.sum(), raw, retain_graph=True)
        y = odeint(lambda t, y: -(y @ (weight + inner)), values(2, 3), T, **tight)
        (expected,) = torch.autograd.grad(y.sum(), raw)
    torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
def test_complex_state(method: str, solve: object) -> None:
    """z = z0 exp((i w - d) t), whose derivatives are known."""
    func = ComplexRotation()
    z0 = torch.complex(values(3), values(3).flip(0)).requires_grad_()
    t = torch.tensor([0.2, 1.0], dtype=torch.float64, requires_grad=True)
    arguments: dict[str, object] = {"method": method, "rtol": 1e-9, "atol": 1e-10}
    if method == "rk4":
        arguments["options"] = {"step_size": 0.01}
    inputs = (z0, t, func.frequency, func.damping)
    with use_engine("eager"):
        z = (odeint if solve is odeint else odeint_adjoint)(func, z0, t, **arguments)[-1]
    exact = z0 * torch.exp(torch.complex(-func.damping, func.frequency) * (t[1] - t[0]))
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    gradients = torch.autograd.grad((z.real * weights + z.imag * weights.flip(0)).sum(), inputs)
    expected = torch.autograd.grad((exact.real * weights + exact.imag * weights.flip(0)).sum(), inputs)
    for x, y in zip(gradients, expected, strict=True):
        assert x.dtype == y.dtype
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)


def test_automatic_first_step_carries_no_gradient(engine: str) -> None:
    """The gradient is that of the solve with its step sizes as numbers."""
    results = []
    y0 = values(4, 3)
    size: list[float] = []

    class Noting(Network):
        def callback_step(self, t0: Tensor, y0: Tensor, dt: Tensor) -> None:
            size.append(float(dt))

    with use_engine("eager"):
        odeint(Noting(), y0, T, rtol=1e-3, atol=1e-3)
    for options in ({}, {"first_step": size[0]}):
        start = y0.clone().requires_grad_()
        y = odeint(Network(), start, T, rtol=1e-3, atol=1e-3, options=options)
        results.append(torch.autograd.grad(y.sum(), start)[0])
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)


def test_differentiable_step_size() -> None:
    """The grid of a fixed-step method may depend on a tensor."""

    def solve(step: Tensor) -> Tensor:
        return odeint(Scalar(), values(2), T, method="midpoint", options={"step_size": step})

    step = torch.tensor(0.13, dtype=torch.float64, requires_grad=True)
    with use_engine("eager"):
        assert torch.autograd.gradcheck(solve, (step,))


def test_made_in_inference_mode_and_used_outside(engine: str) -> None:
    """Nothing that a solve keeps for the next one may be an inference tensor."""

    class Once(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -y

    y0 = values(5)
    for method in DIFFERENTIABLE:
        with torch.inference_mode():
            odeint(Once(), y0.clone(), T, rtol=1e-3, atol=1e-3, method=method)
        start = y0.clone().requires_grad_()
        odeint(Once(), start, T, rtol=1e-3, atol=1e-3, method=method).sum().backward()
        assert start.grad is not None
