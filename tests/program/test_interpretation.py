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
    DenseDynamic,
    Gather,
    Parameter,
    Program,
    SegmentSum,
    Select,
    Unary,
)

POSITIVE = {"sqrt", "rsqrt", "log", "log2", "log10", "log1p", "power"}
INSIDE = {"logit"}
BETWEEN_ONES = {"asin", "acos", "atanh"}
ABOVE_ONE = {"acosh"}
FLAT = {"sign", "floor", "ceil", "round", "trunc", "detach", "lt", "le", "eq", "ne"}
CONSTANTS: dict[str, tuple[float, ...]] = {
    "affine": (1.7, -0.4),
    "power": (2.6,),
    "leaky_relu": (0.2,),
    "elu": (1.3, 1.1, 0.7),
    "softplus": (2.0, 5.0),
    "hardtanh": (-0.6, 0.8),
    "clamp": (-0.6, math.inf),
    "logit": (0.2,),
}
MEANING: dict[str, Callable[[Tensor], Tensor]] = {
    "neg": lambda x: -x,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / torch.sqrt(x),
    "sinc": lambda x: torch.sin(math.pi * x) / (math.pi * x),
    "logit": lambda x: torch.log(x.clamp(0.2, 0.8) / (1 - x.clamp(0.2, 0.8))),
    "power": lambda x: x**2.6,
    "exp2": lambda x: torch.exp(x * math.log(2)),
    "log2": lambda x: torch.log(x) / math.log(2),
    "log10": lambda x: torch.log(x) / math.log(10),
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
    "asin": lambda x: torch.atan2(x, torch.sqrt(1 - x * x)),
    "acos": lambda x: torch.atan2(torch.sqrt(1 - x * x), x),
    "asinh": lambda x: torch.log(x + torch.sqrt(x * x + 1)),
    "acosh": lambda x: torch.log(x + torch.sqrt(x * x - 1)),
    "atanh": lambda x: torch.log((1 + x) / (1 - x)) / 2,
    "ceil": lambda x: -torch.floor(-x),
    "trunc": lambda x: x.to(torch.int64).to(x.dtype),
    "detach": lambda x: x,
}
SMOOTH = sorted(set(UNARY) - FLAT)


def unary(fn: str) -> Program:
    return Program((1, 4, 0, 4), (Unary(3, 1, fn, CONSTANTS.get(fn, ())),), 3)


def states(fn: str, shape: tuple[int, ...] = (3, 4)) -> Tensor:
    x = 2 * torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    if fn in BETWEEN_ONES:
        return 0.9 * torch.tanh(x)
    if fn in ABOVE_ONE:
        return x.abs() + 1.1
    if fn in INSIDE:
        return torch.sigmoid(x)
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


@pytest.mark.parametrize("fn", sorted(FLAT & set(UNARY)))
def test_flat_functions_have_no_gradient(fn: str) -> None:
    y = states(fn).requires_grad_()
    program = Program((1, 4, 0, 4, 4), (Unary(3, 1, fn), Binary(4, 3, 1, "add")), 4)
    program.interpret(torch.tensor(0.0), y).sum().backward()
    assert y.grad is not None
    assert y.grad.eq(1).all()


KINKS = {
    "abs": (0.0, 0.0, 0.0),
    "relu": (0.0, 0.0, 0.0),
    "leaky_relu": (0.0, 0.0, 0.2),
    "hardtanh": (-0.6, -0.6, 0.0),
    "clamp": (-0.6, -0.6, 1.0),
    "hardsigmoid": (3.0, 1.0, 0.0),
    "sign": (0.5, 1.0, 0.0),
    "floor": (-2.0, -2.0, 0.0),
    "ceil": (-2.5, -2.0, 0.0),
    "trunc": (-2.5, -2.0, 0.0),
    "asin": (1.0, math.pi / 2, math.inf),
    "acos": (1.0, 0.0, -math.inf),
    "acosh": (1.0, 0.0, math.inf),
    "atanh": (1.0, math.inf, math.inf),
}


@pytest.mark.parametrize("fn", KINKS)
def test_values_and_gradients_at_kinks_are_torchs(fn: str) -> None:
    place, value, slope = KINKS[fn]
    y = torch.full((4,), place, requires_grad=True, dtype=torch.float64)
    result = unary(fn).interpret(torch.tensor(0.0), y)
    result.sum().backward()
    assert y.grad is not None
    assert result.tolist() == [value] * 4
    assert y.grad.tolist() == [slope] * 4


def test_halves_are_rounded_to_even() -> None:
    y = torch.tensor([0.5, 1.5, 2.5, -0.5])
    assert unary("round").interpret(torch.tensor(0.0), y).tolist() == [0.0, 2.0, 2.0, 0.0]


def pairs(fn: str, a: Tensor, b: Tensor) -> Tensor:
    """A binary function of ``a`` and ``b``, the halves of the state, twice."""
    n = a.shape[-1]
    halves = (Gather(3, (1,), tuple(range(n))), Gather(4, (1,), tuple(range(n, 2 * n))))
    ops = (*halves, Binary(5, 3, 4, fn), Gather(6, (5,), tuple(range(n)) * 2))
    program = Program((1, 2 * n, 0, n, n, n, 2 * n), ops, 6)
    return program.interpret(torch.tensor(0.0, dtype=a.dtype), torch.cat([a, b], -1))[..., :n]


def compared(holds: Callable[[float, float], bool]) -> Callable[[Tensor, Tensor], Tensor]:
    def compare(a: Tensor, b: Tensor) -> Tensor:
        rows = zip(a.flatten().tolist(), b.flatten().tolist(), strict=True)
        return torch.tensor([float(holds(x, y)) for x, y in rows], dtype=a.dtype).view_as(a)

    return compare


BINARY_MEANING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "power": lambda a, b: torch.exp(b * torch.log(a)),
    "maximum": lambda a, b: torch.where(a > b, a, b),
    "minimum": lambda a, b: torch.where(a < b, a, b),
    "atan2": lambda a, b: torch.angle(torch.complex(b, a)),
    "hypot": lambda a, b: torch.sqrt(a * a + b * b),
    "logaddexp": lambda a, b: torch.log(torch.exp(a) + torch.exp(b)),
    "logaddexp2": lambda a, b: torch.log(2**a + 2**b) / math.log(2),
    "xlogy": lambda a, b: a * torch.log(b),
    "xlog1py": lambda a, b: a * torch.log(1 + b),
    "prelu": lambda a, b: torch.where(a > 0, a, b * a),
    "floor_divide": lambda a, b: torch.floor(a / b),
    "trunc_divide": lambda a, b: torch.trunc(a / b),
    "fmod": lambda a, b: a - b * torch.trunc(a / b).detach(),
    "remainder": lambda a, b: a - b * torch.floor(a / b).detach(),
    "lt": compared(lambda a, b: a < b),
    "le": compared(lambda a, b: a <= b),
    "eq": compared(lambda a, b: a == b),
    "ne": compared(lambda a, b: a != b),
}


LOGARITHMS = {"power", "xlogy", "xlog1py"}


@pytest.mark.parametrize("fn", sorted(BINARY))
def test_binary_means_what_its_name_says(fn: str) -> None:
    a = states("power")
    b = states(fn, (3, 4)).flip(-1) * torch.tensor([1.0, -1.0, 1.0, 1.0], dtype=a.dtype)
    a, b = a.requires_grad_(), (b.abs() if fn in LOGARITHMS else b).detach().requires_grad_()
    actual, expected = pairs(fn, a, b), BINARY_MEANING[fn](a, b)
    torch.testing.assert_close(actual, expected)
    if fn in FLAT:
        assert not actual.requires_grad
        return
    weights = torch.linspace(-1, 1, 12, dtype=a.dtype).view(3, 4)
    wanted = torch.autograd.grad((expected * weights).sum(), (a, b))
    torch.testing.assert_close(torch.autograd.grad((actual * weights).sum(), (a, b)), wanted)
    assert torch.autograd.gradcheck(lambda a, b: pairs(fn, a, b), (a, b))
    assert torch.autograd.gradgradcheck(lambda a, b: pairs(fn, a, b), (a, b))


SPECIAL = {
    "lt": [1.0, 0.0, 0.0, 0.0, 0.0],
    "le": [1.0, 1.0, 0.0, 0.0, 0.0],
    "eq": [0.0, 1.0, 0.0, 0.0, 0.0],
    "ne": [1.0, 0.0, 1.0, 1.0, 1.0],
}


@pytest.mark.parametrize("fn", SPECIAL)
def test_comparisons_of_nan_are_those_of_numbers(fn: str) -> None:
    a = torch.tensor([1.0, 2.0, 3.0, math.nan, math.nan])
    b = torch.tensor([2.0, 2.0, 2.0, 2.0, math.nan])
    assert pairs(fn, a, b).tolist() == SPECIAL[fn]


def test_remainders_have_the_sign_of_one_or_the_other() -> None:
    a, b = torch.tensor([5.5, -5.5, 5.5, -5.5]), torch.tensor([2.0, 2.0, -2.0, -2.0])
    assert pairs("fmod", a, b).tolist() == [1.5, -1.5, 1.5, -1.5]
    assert pairs("remainder", a, b).tolist() == [1.5, 0.5, -0.5, -1.5]


def test_select_takes_the_gradient_of_what_it_takes() -> None:
    ops = (Constant(3, (1.0, 0.0, math.nan, -0.0)), Unary(4, 1, "sqrt"), Select(5, 3, 1, 4))
    y = torch.tensor([3.0, 4.0, 5.0, 9.0], requires_grad=True)
    result = Program((1, 4, 0, 4, 4, 4), ops, 5).interpret(torch.tensor(0.0), y)
    result.sum().backward()
    assert y.grad is not None
    assert result.tolist() == [3.0, 2.0, 5.0, 3.0]
    assert y.grad.tolist() == [1.0, 0.25, 1.0, pytest.approx(1 / 6)]


def test_the_condition_of_a_select_has_no_gradient() -> None:
    y = torch.tensor([3.0, 4.0], requires_grad=True)
    ops = (Constant(3, (1.0, 2.0)), Select(4, 1, 3, 3), Binary(5, 4, 1, "add"))
    Program((1, 2, 0, 2, 2, 2), ops, 5).interpret(torch.tensor(0.0), y).sum().backward()
    assert y.grad is not None
    assert y.grad.tolist() == [1.0, 1.0]


def test_dense_dynamic_has_a_matrix_for_each_block_and_trajectory() -> None:
    blocks, repeats, features_in, features_out = 2, 3, 4, 5
    rows = blocks * repeats * features_in
    weights = blocks * features_out * features_in
    width = rows + weights
    outputs = blocks * repeats * features_out
    ops = (
        Gather(3, (1,), tuple(range(rows))),
        Gather(4, (1,), tuple(range(rows, width))),
        DenseDynamic(5, 3, 4, blocks, repeats),
        Gather(6, (5,), tuple(i % outputs for i in range(width))),
    )
    program = Program((1, width, 0, rows, weights, outputs, width), ops, 6)
    y = torch.randn(7, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = program.interpret(torch.tensor(0.0), y)[:, :outputs].view(7, blocks, repeats, features_out)
    x = y[:, :rows].view(7, blocks, repeats, features_in)
    matrices = y[:, rows:].view(7, blocks, features_out, features_in)
    for b in range(blocks):
        for r in range(repeats):
            expected = torch.einsum("noi,ni->no", matrices[:, b], x[:, b, r])
            torch.testing.assert_close(values[:, b, r], expected)


def test_extremes_split_the_gradient_of_a_tie() -> None:
    for fn in ("maximum", "minimum"):
        y = torch.ones(4, requires_grad=True)
        t = torch.ones((), requires_grad=True)
        ops = (Gather(3, (0,), (0,) * 4), Binary(4, 1, 3, fn))
        Program((1, 4, 0, 4, 4), ops, 4).interpret(t, y).sum().backward()
        assert y.grad is not None
        assert t.grad is not None
        assert y.grad.tolist() == [0.5] * 4
        assert t.grad.item() == 2.0


def everything() -> tuple[Program, list[Tensor]]:
    """All operations in one field of a (2, 3) state."""
    ops = (
        Dense(3, 1, 0, 1, 2),
        Unary(4, 3, "tanh"),
        Gather(5, (0, 4), (0, 1, 3, 5, 7, 2)),
        Parameter(6, 2),
        Binary(7, 5, 6, "mul"),
        SegmentSum(8, 4, (0, 1, 2, 3, 0, 1, 2, 5)),
        Constant(9, (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
        Binary(10, 7, 8, "add"),
        Binary(11, 10, 9, "sub"),
        DenseDynamic(12, 4, 3, 1, 4),
        Gather(13, (12,), (0, 1, 5, 6, 10, 15)),
        Constant(14, (1.0, 0.0, 2.0, 0.0, 0.0, -1.0)),
        Select(15, 14, 11, 13),
    )
    shapes = ((4, 3), (4,), (2, 3))
    generator = torch.Generator().manual_seed(5)
    parameters = [torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes]
    return Program((1, 6, 0, 8, 8, 6, 6, 6, 6, 6, 6, 6, 16, 6, 6, 6), ops, 15, shapes), parameters


def by_hand(t: Tensor, y: Tensor, weight: Tensor, bias: Tensor, scale: Tensor) -> Tensor:
    before = (y.unflatten(-1, (2, 3)) @ weight.T + bias).flatten(-2)
    h = torch.tanh(before)
    pad = t.expand(y.shape[:-1])[..., None]
    picked = torch.cat([pad, h[..., 0:1], h[..., 2:3], h[..., 4:5], h[..., 6:7], h[..., 1:2]], -1)
    summed = torch.stack([h[..., 0] + h[..., 4], h[..., 1] + h[..., 5], h[..., 2] + h[..., 6], h[..., 3]], -1)
    summed = torch.cat([summed, torch.zeros_like(pad), h[..., 7:8]], -1)
    shift = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], dtype=y.dtype)
    products = (h.unflatten(-1, (4, 2)) @ before.unflatten(-1, (4, 2)).mT).flatten(-2)
    taken = torch.tensor([True, False, True, False, False, True])
    return torch.where(taken, picked * scale.flatten() + summed - shift, products[..., [0, 1, 5, 6, 10, 15]])


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
