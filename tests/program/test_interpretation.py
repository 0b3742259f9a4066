"""The interpreter is the oracle of the engines: each operation against torch, in values and gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from flashode.program import (
    BINARY,
    UNARY,
    Binary,
    Constant,
    Dense,
    Gather,
    Parameter,
    Program,
    SegmentSum,
    Unary,
)

POSITIVE = {"sqrt", "log", "log1p", "power"}
CONSTANTS: dict[str, tuple[float, ...]] = {
    "affine": (1.7, -0.4),
    "power": (2.6,),
    "leaky_relu": (0.2,),
    "elu": (1.3, 1.1, 0.7),
    "softplus": (2.0, 5.0),
    "hardtanh": (-0.6, 0.8),
    "clamp": (-0.6, math.inf),
}
MEANING: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "power": lambda x: x**2.6,
    "affine": lambda x: 1.7 * x - 0.4,
    "elu": lambda x: torch.where(x > 0, 1.1 * x, 1.3 * 1.1 * torch.expm1(0.7 * x)),
    "leaky_relu": lambda x: torch.where(x > 0, x, 0.2 * x),
    "softplus": lambda x: torch.where(2 * x > 5, x, torch.log1p(torch.exp(2 * x)) / 2),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "mish": lambda x: x * torch.tanh(torch.log1p(torch.exp(x))),
    "hardtanh": lambda x: torch.where(x < -0.6, -0.6, torch.where(x > 0.8, 0.8, x)),
    "clamp": lambda x: torch.where(x < -0.6, -0.6, x),
    "hardsigmoid": lambda x: torch.where(x < -3, 0.0, torch.where(x > 3, 1.0, x / 6 + 0.5)),
    "hardswish": lambda x: torch.where(x < -3, 0.0, torch.where(x > 3, x, x * (x + 3) / 6)),
    "logsigmoid": lambda x: -torch.log1p(torch.exp(-x)),
}
SMOOTH = sorted(set(UNARY) - {"sign"})


def unary(fn: str) -> Program:
    return Program((1, 4, 4), (Unary(2, 1, fn, CONSTANTS.get(fn, ())),), 2)


def states(fn: str, shape: tuple[int, ...] = (3, 4)) -> Tensor:
    x = 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return x.abs() + 0.1 if fn in POSITIVE else x


@pytest.mark.parametrize("fn", sorted(UNARY))
def test_unary_means_what_its_name_says(fn: str) -> None:
    x = states(fn)
    expected = MEANING.get(fn) or getattr(torch, fn)
    torch.testing.assert_close(unary(fn).interpret(torch.tensor(0.0), x), expected(x))


@pytest.mark.parametrize("fn", SMOOTH)
def test_unary_gradients(fn: str) -> None:
    program, t, y = unary(fn), torch.tensor(0.3, dtype=torch.float64), states(fn).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: program.interpret(t, y), y)
    if fn not in ("hardtanh", "hardsigmoid", "hardswish", "clamp"):
        assert torch.autograd.gradgradcheck(lambda y: program.interpret(t, y), y)


KINKS = {
    "abs": (0.0, 0.0),
    "relu": (0.0, 0.0),
    "leaky_relu": (0.0, 0.2),
    "hardtanh": (-0.6, 0.0),
    "clamp": (-0.6, 1.0),
    "hardsigmoid": (3.0, 0.0),
    "sign": (0.5, 0.0),
}


@pytest.mark.parametrize("fn", KINKS)
def test_gradients_at_kinks_are_torchs(fn: str) -> None:
    place, slope = KINKS[fn]
    y = torch.full((4,), place, requires_grad=True, dtype=torch.float64)
    unary(fn).interpret(torch.tensor(0.0), y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [slope] * 4


@pytest.mark.parametrize("fn", sorted(BINARY))
def test_binary(fn: str) -> None:
    program = Program((1, 4, 4, 4), (Gather(2, (1,), (3, 2, 1, 0)), Binary(3, 1, 2, fn)), 3)
    y = states("power").requires_grad_()
    meaning = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "power": torch.pow}
    expected = meaning.get(fn) or getattr(torch, fn)
    t = torch.tensor(0.0, dtype=torch.float64)
    torch.testing.assert_close(program.interpret(t, y), expected(y, y.flip(-1)))
    assert torch.autograd.gradcheck(lambda y: program.interpret(t, y), y)
    assert torch.autograd.gradgradcheck(lambda y: program.interpret(t, y), y)


def test_extremes_split_the_gradient_of_a_tie() -> None:
    for fn in ("maximum", "minimum"):
        y = torch.ones(4, requires_grad=True)
        t = torch.ones((), requires_grad=True)
        ops = (Gather(2, (0,), (0,) * 4), Binary(3, 1, 2, fn))
        Program((1, 4, 4, 4), ops, 3).interpret(t, y).sum().backward()
        assert y.grad is not None
        assert t.grad is not None
        assert y.grad.tolist() == [0.5] * 4
        assert t.grad.item() == 2.0


def everything() -> tuple[Program, list[Tensor]]:
    """All operations in one field of a (2, 3) state."""
    ops = (
        Dense(2, 1, 0, 1, 2),
        Unary(3, 2, "tanh"),
        Gather(4, (0, 3), (0, 1, 3, 5, 7, 2)),
        Parameter(5, 2),
        Binary(6, 4, 5, "mul"),
        SegmentSum(7, 3, (0, 1, 2, 3, 0, 1, 2, 5)),
        Constant(8, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        Binary(9, 6, 7, "add"),
        Binary(10, 9, 8, "sub"),
    )
    shapes = ((4, 3), (4,), (2, 3))
    generator = torch.Generator().manual_seed(5)
    parameters = [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]
    return Program((1, 6, 8, 8, 6, 6, 6, 6, 6, 6, 6), ops, 10, shapes), parameters


def by_hand(t: Tensor, y: Tensor, weight: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
    h = torch.tanh(y.unflatten(-1, (2, 3)) @ weight.T + bias).flatten(-2)
    pad = t.expand(y.shape[:-1])[..., None]
    picked = torch.cat([pad, h[..., 0:1], h[..., 2:3], h[..., 4:5], h[..., 6:7], h[..., 1:2]], -1)
    summed = torch.stack([h[..., 0] + h[..., 4], h[..., 1] + h[..., 5], h[..., 2] + h[..., 6], h[..., 3]], -1)
    summed = torch.cat([summed, torch.zeros_like(pad), h[..., 7:8]], -1)
    return picked * scale.flatten() + summed - torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], dtype=y.dtype)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_all_operations_together(batch: tuple[int, ...]) -> None:
    program, parameters = everything()
    t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = torch.randn(*batch, 6, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(program.interpret(t, y, parameters), by_hand(t, y, *parameters))
    arguments = (t, y, *parameters)
    assert torch.autograd.gradcheck(lambda t, y, *p: program.interpret(t, y, p), arguments)


def test_second_derivatives_of_all_operations() -> None:
    program, parameters = everything()
    t = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    arguments = (t, y, *parameters)
    assert torch.autograd.gradgradcheck(lambda t, y, *p: program.interpret(t, y, p), arguments)


def test_one_time_for_each_trajectory() -> None:
    program, parameters = everything()
    t, y = torch.rand(4, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    together = program.interpret(t, y, parameters)
    for i in range(4):
        torch.testing.assert_close(together[i], program.interpret(t[i], y[i], parameters))


def test_float32_stays_float32() -> None:
    program, parameters = everything()
    result = program.interpret(torch.tensor(0.1), torch.randn(3, 6), [p.float() for p in parameters])
    assert result.dtype == torch.float32


def test_shapes_are_checked() -> None:
    program, parameters = everything()
    t = torch.tensor(0.0, dtype=torch.float64)
    with pytest.raises(ValueError, match="last dimension must be 6"):
        program.interpret(t, torch.zeros(6, 2, dtype=torch.float64), parameters)
    with pytest.raises(ValueError, match="the program takes"):
        program.interpret(t, torch.zeros(6, dtype=torch.float64), parameters[:2])
