"""Derivatives taken inside a field hide nothing from the trace: reads, branches and cuts are seen in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import grad, jacrev, jvp, vjp, vmap

import flashode
from capture.agreement import agrees, declined, must_capture, random
from flashode.program import Dense

WEIGHT = nn.Parameter(random(3))
MATRIX = random(3, 3, seed=3)


class Cubed(torch.autograd.Function):
    """A custom function in the style that ``torch.func`` takes."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * x


def branching(x: Tensor) -> Tensor:
    return x.sin().sum() if x.sum() > 0 else x.cos().sum()


def differentiated_inside(t: Tensor, y: Tensor) -> Tensor:
    with torch.enable_grad():
        x = y * 1
        (slope,) = torch.autograd.grad(Cubed.apply(x).sum(), x, create_graph=True)
    return slope.detach() * y


REFUSED: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "item under grad": (lambda t, y: grad(lambda x: (x * x.sum().item()).sum())(y), "Python number"),
    "item under vmap": (lambda t, y: vmap(lambda x: x * x.sum().item())(y), ""),
    "branch under grad": (lambda t, y: grad(branching)(y), "Python number"),
    "branch under vmap": (lambda t, y: vmap(grad(branching))(y), ""),
    "branch under jvp": (lambda t, y: jvp(branching, (y,), (y,))[1] * y, "Python number"),
    "numpy under vjp": (lambda t, y: vjp(lambda x: x * x.numpy(), y)[0], "memory from Python"),
    "data under grad": (lambda t, y: grad(lambda x: (x * x.data).sum())(y), "cuts a gradient off (.data)"),
    "data under vmap": (lambda t, y: vmap(lambda x: x * x.data)(y), "cuts a gradient off (.data)"),
    "random under vmap": (
        lambda t, y: vmap(lambda x: x * torch.rand_like(x), randomness="different")(y),
        "draws random numbers",
    ),
    "custom backward under vmap": (lambda t, y: vmap(Cubed.apply)(y), "custom autograd"),
    "linearize": (lambda t, y: torch.func.linearize(torch.sin, y)[1](y), ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_inside(name: str) -> None:
    field, reason = REFUSED[name]
    assert reason in declined(field)


FIELDS: dict[str, Callable[[Any, Any], Any]] = {
    "gradient of a gradient": lambda t, y: grad(lambda x: grad(lambda z: (z**3).sum())(x).sin().sum())(y),
    "several inputs": lambda t, y: sum(grad(lambda a, b: (a * b.sin() * t).sum(), argnums=(0, 1))(y, 2 * y)),
    "in time": lambda t, y: y * jvp(torch.sin, (t,), (torch.ones_like(t),))[1],
    "over parameters": lambda t, y: y * grad(lambda w: (w**2 * MATRIX).sum())(WEIGHT),
    "over literals": lambda t, y: y * jacrev(lambda x: x**2)(torch.arange(3.0, dtype=y.dtype)).sum(0),
    "auxiliary": lambda t, y: vjp(lambda x: (x.sin(), x.cos()), y, has_aux=True)[2],
    "nested maps": lambda t, y: vmap(lambda row: vmap(lambda a: a * row.sum() - t)(row))(y),
    "map over features": lambda t, y: vmap(torch.tanh, in_dims=1, out_dims=1)(y) * WEIGHT,
    "identity written in place": lambda t, y: vmap(jacrev(lambda x: (MATRIX @ x).sin()))(y).sum(-1),
    "a custom function that only helps": differentiated_inside,
    "a custom backward as the field": lambda t, y: grad(lambda x: Cubed.apply(x).sum())(y) * t,
}


@pytest.mark.parametrize("name", FIELDS)
def test_captured(name: str) -> None:
    captured = must_capture(FIELDS[name], random(4, 3))
    assert captured.batched
    agrees(FIELDS[name], captured, random(4, 3, seed=2), [WEIGHT], rtol=1e-9)


def test_a_matrix_that_turns_singular_raises_as_in_the_field() -> None:
    weight = nn.Parameter(random(3, 3) + 3 * torch.eye(3, dtype=torch.float64))

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y @ torch.linalg.inv(weight)

    captured = must_capture(field, random(4, 3))
    agrees(field, captured, random(4, 3, seed=2), [weight])
    nn.init.ones_(weight)
    with pytest.raises(torch.linalg.LinAlgError, match="singular"):
        captured.parameters()


def test_a_matrix_that_was_singular_once() -> None:
    weight = torch.ones(3, 3, dtype=torch.float64)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y @ torch.linalg.inv(weight)

    assert "singular" in declined(field, random(4, 3))
    weight += torch.eye(3, dtype=torch.float64)
    agrees(field, must_capture(field, random(4, 3)), random(4, 3, seed=2))
    weight.fill_(1.0)
    assert "singular" in declined(field, random(5, 3))
    weight += torch.eye(3, dtype=torch.float64)
    agrees(field, must_capture(field, random(5, 3)), random(5, 3, seed=2))


def test_products_that_forward_mode_fills_with_zeros_are_left_out() -> None:
    """Torch multiplies a matrix that has no tangent by zeros; a Program holds none of these products."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()

    def along(t: Tensor, y: Tensor) -> Tensor:
        def once(y: Tensor) -> Tensor:
            return jvp(net, (y,), (y,))[1]

        return jvp(once, (y,), (torch.ones_like(y),))[1]

    y0 = torch.randn(5, 3, dtype=torch.float64)
    program = flashode.explain(along, y0).program
    assert program is not None
    # Of the state, of it and of ones along the first layer, and of what becomes of these along the second.
    assert sum(isinstance(op, Dense) for op in program.ops) <= 6
    t = torch.tensor([0.0, 0.5], dtype=torch.float64)
    with flashode.use_engine("native"):
        own = flashode.odeint(along, y0, t, method="rk4")
    with flashode.use_engine("eager"):
        expected = flashode.odeint(along, y0, t, method="rk4")
    torch.testing.assert_close(own, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y: y * WEIGHT + (y @ torch.zeros(()).double().expand(3, 3)) * (1 / t),
        lambda t, y: y * WEIGHT + (y / t) @ torch.zeros((), dtype=torch.float64).expand(3, 3),
    ],
)
def test_zeros_of_the_functions_own_multiply(field: Callable[..., Tensor]) -> None:
    """Infinity times zero is no number, where a step ends on time zero."""
    y0, t = random(2, 3), torch.tensor([-1.0, 1.0], dtype=torch.float64)
    for engine in ("native", "eager"):
        with flashode.use_engine(engine), pytest.raises(flashode.NonFiniteError):
            flashode.odeint(field, y0, t, method="rk4", options={"step_size": 0.25})
