"""Each operation and function of a Program in the compiled engine, against its meaning in plain torch.

One step of Euler's method of length one is the state and the field: values, and gradients in t, y and the
parameters by the discrete adjoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

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
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    Unary,
)
from handmade import euler_step

DTYPES = (torch.float64, torch.float32)
BATCH = 19  # more than a tile of either precision, and no multiple of one
CONSTANTS: dict[str, tuple[float, ...]] = {
    "affine": (1.7, -0.4),
    "power": (2.6,),
    "leaky_relu": (0.2,),
    "elu": (1.3, 1.1, 0.7),
    "softplus": (2.0, 5.0),
    "hardtanh": (-0.6, 0.8),
    "clamp": (-0.6, math.inf),
    "logit": (0.1,),
}
# Where a function is defined, if not from -4 to 4.
DOMAIN = {
    "sqrt": (0.05, 4.0),
    "rsqrt": (0.05, 4.0),
    "logit": (0.05, 0.95),
    # Towards zero torch's own slope cancels.
    "sinc": (0.3, 4.0),
    "log": (0.05, 4.0),
    "log2": (0.05, 4.0),
    "log10": (0.05, 4.0),
    "log1p": (-0.9, 4.0),
    # Up to 4 its slopes, as large as 55, add up to nearly nothing in float32.
    "expm1": (-4.0, 2.0),
    "power": (0.05, 4.0),
    "tan": (-1.4, 1.4),
    "asin": (-0.95, 0.95),
    "acos": (-0.95, 0.95),
    "acosh": (1.05, 4.0),
    "atanh": (-0.95, 0.95),
    "reciprocal": (0.1, 4.0),
}


def spread(low: float, high: float, width: int, dtype: torch.dtype) -> Tensor:
    """States that fill an interval in no order."""
    values = torch.linspace(low, high, BATCH * width, dtype=torch.float64)
    return (
        values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
        .view(-1, width)
        .to(dtype)
    )


class Drafting:
    """A Program operation by operation, whose first value, ``x``, is made of t, y and a parameter."""

    def __init__(self, width: int) -> None:
        self.ops: list[Op] = []
        self.widths = [1, width, 0]
        factor = self.add(Parameter, width, 0)
        time = self.add(Gather, width, (0,), (0,) * width)
        self.x = self.add(Binary, width, self.add(Binary, width, 1, factor, "mul"), time, "add")

    def add(self, kind: type[Op], width: int, *arguments: object) -> int:
        self.ops.append(kind(len(self.widths), *arguments))  # type: ignore[arg-type]
        self.widths.append(width)
        return self.ops[-1].out

    def finish(self, shapes: Sequence[tuple[int, ...]] = ()) -> Program:
        """The last value, as often as it fits into the state, is the rate."""
        width = self.widths[1]
        last = self.ops[-1].out
        self.add(Gather, width, (last,), tuple(i % self.widths[last] for i in range(width)))
        return Program(tuple(self.widths), tuple(self.ops), len(self.widths) - 1, ((width,), *shapes))


def agree(program: Program, x: Tensor, parameters: Sequence[Tensor] = (), **tolerance: float) -> None:
    """Checks a drafted Program at the states where its ``x`` has these values."""
    t = torch.tensor([0.3, 1.3], dtype=x.dtype)
    factor = torch.linspace(0.8, 1.2, x.shape[1], dtype=x.dtype)
    compare(program, t, (x - t[0]) / factor, [factor, *parameters], **tolerance)


def compare(
    program: Program, t: Tensor, y0: Tensor, parameters: Sequence[Tensor], **tolerance: float
) -> None:
    exact: dict[str, Any] = {"rtol": 1e-11, "atol": 1e-12}
    if y0.dtype == torch.float32:
        exact = {"rtol": 2e-5, "atol": 1e-5}
    exact |= tolerance
    leaves = [tensor.clone().requires_grad_() for tensor in (t, y0, *parameters)]
    t, y0, *parameters = leaves
    expected = y0 + (t[1] - t[0]) * program.interpret(t[0], y0, parameters)
    result = euler_step(program, t, y0, parameters)
    torch.testing.assert_close(result, expected, **exact)
    weights = torch.linspace(-1, 1, y0.numel(), dtype=y0.dtype).view_as(y0)
    gradients = [
        torch.autograd.grad((states * weights).sum(), leaves, materialize_grads=True)
        for states in (result, expected)
    ]
    for actual, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, wanted, **exact)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", sorted(UNARY))
def test_unary(fn: str, dtype: torch.dtype) -> None:
    draft = Drafting(4)
    draft.add(Unary, 4, draft.x, fn, CONSTANTS.get(fn, ()))
    # torch rounds the slope of hardsigmoid, 1/6, to single precision.
    tolerance = {"rtol": 1e-7} if fn == "hardsigmoid" and dtype == torch.float64 else {}
    agree(draft.finish(), spread(*DOMAIN.get(fn, (-4.0, 4.0)), 4, dtype), **tolerance)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 1.0, 0.0, -1.0, 0.5])
def test_power_of_each_kind(exponent: float) -> None:
    draft = Drafting(4)
    draft.add(Unary, 4, draft.x, "power", (exponent,))
    agree(draft.finish(), spread(0.2, 3.0, 4, torch.float64))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("same", [False, True], ids=["two values", "one value"])
@pytest.mark.parametrize("fn", sorted(BINARY))
def test_binary(fn: str, same: bool, dtype: torch.dtype) -> None:
    draft = Drafting(8)
    a = draft.add(Gather, 4, (draft.x,), (0, 1, 2, 3))
    b = a if same else draft.add(Gather, 4, (draft.x,), (4, 5, 6, 7))
    draft.add(Binary, 4, a, b, fn)
    agree(
        draft.finish(),
        spread(*((0.2, 4.0) if fn in ("power", "xlogy", "xlog1py") else (-4.0, 4.0)), 8, dtype),
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_select(dtype: torch.dtype) -> None:
    draft = Drafting(6)
    smaller = draft.add(Unary, 6, draft.x, "sin")
    below = draft.add(Binary, 6, draft.x, smaller, "lt")
    chosen = draft.add(Select, 6, below, draft.x, smaller)
    mask = draft.add(Constant, 6, (1.0, 0.0, -0.0, -2.0, math.nan, 1e-300))
    masked = draft.add(Select, 6, mask, chosen, draft.x)
    draft.add(Select, 6, draft.x, masked, masked)
    agree(draft.finish(), spread(-4.0, 4.0, 6, dtype))


# Blocks, repeats, features in and out: one of each, several of each, more than are computed at once.
SHAPES = [(1, 1, 1, 1), (1, 1, 3, 2), (1, 4, 2, 3), (3, 1, 2, 2), (2, 3, 4, 5), (1, 1, 9, 17), (1, 1, 17, 9)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_dynamic(shape: tuple[int, int, int, int], dtype: torch.dtype) -> None:
    blocks, repeats, features_in, features_out = shape
    draft = Drafting(7)
    rows, weights = blocks * repeats * features_in, blocks * features_out * features_in
    x = draft.add(Gather, rows, (draft.x,), tuple(i % 7 for i in range(rows)))
    wave = draft.add(Unary, 7, draft.x, "sin")
    weight = draft.add(Gather, weights, (wave,), tuple(i * 3 % 7 for i in range(weights)))
    weight = draft.add(Binary, weights, weight, draft.add(Parameter, weights, 1), "mul")
    draft.add(DenseDynamic, blocks * repeats * features_out, x, weight, blocks, repeats)
    spare = torch.linspace(-1, 1, weights, dtype=dtype)
    agree(draft.finish([(weights,)]), spread(-2.0, 2.0, 7, dtype), [spare])


def test_dense_dynamic_of_one_value_with_itself() -> None:
    draft = Drafting(6)
    draft.add(DenseDynamic, 9, draft.x, draft.x, 1, 3)
    agree(draft.finish(), spread(-2.0, 2.0, 6, torch.float64))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("features", [5, 40], ids=["small weight", "large weight"])
def test_dense_and_sums(features: int, dtype: torch.dtype) -> None:
    draft = Drafting(6)
    hidden = draft.add(Dense, 2 * features, draft.x, 1, 2, 2)
    back = draft.add(Dense, 6, hidden, 3, None, 2)
    total = draft.add(SegmentSum, 3, back, (2, 0, 0, 1, 2, 0))
    draft.add(Gather, 6, (total, draft.x), (0, 2, 2, 4, 8, 1))
    generator = torch.Generator().manual_seed(1)
    shapes = ((features, 3), (features,), (3, features))
    parameters = [torch.randn(s, dtype=torch.float64, generator=generator).to(dtype) / 3 for s in shapes]
    agree(draft.finish(shapes), spread(-2.0, 2.0, 6, dtype), parameters)


# Where a function has a kink or a jump, or is at the end of its domain.
KINKS = {
    "abs": (0.0, -0.0),
    "sign": (0.0,),
    "relu": (0.0, -0.0),
    "leaky_relu": (0.0,),
    "elu": (0.0,),
    "hardtanh": (-0.6, 0.8),
    "clamp": (-0.6, 0.8),
    "hardsigmoid": (-3.0, 3.0),
    "hardswish": (-3.0, 3.0),
    "softplus": (2.5, 2.6),
    "sqrt": (0.0,),
    "power": (0.0,),
    "asin": (1.0, -1.0),
    "acos": (1.0, -1.0),
    "acosh": (1.0,),
    "floor": (2.0, -2.0, -0.0, 2.5),
    "ceil": (2.0, -2.0, -0.0, 2.5),
    "trunc": (2.0, -2.0, -0.0, -2.5),
    "round": (0.5, 1.5, 2.5, -0.5, -1.5, 2.4999999),
}


def gradient_at(program: Program, y: Tensor) -> tuple[Tensor, Tensor]:
    """What a step from t = 0 to 1 adds to the states, and the gradient of its sum."""
    y = y.clone().requires_grad_()
    added = euler_step(program, torch.tensor([0.0, 1.0], dtype=y.dtype), y, ()) - y
    (gradient,) = torch.autograd.grad(added.sum(), y)
    return added.detach(), gradient


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", KINKS)
def test_kinks_of_unary_functions(fn: str, dtype: torch.dtype) -> None:
    program = Program((1, 1, 0, 1), (Unary(3, 1, fn, CONSTANTS.get(fn, ())),), 3)
    y = torch.tensor(KINKS[fn], dtype=dtype)[:, None]
    gradients, gradient = gradient_at(program, y)
    x = y.clone().requires_grad_()
    wanted = program.interpret(torch.tensor(0.0, dtype=dtype), x)
    torch.testing.assert_close(gradients, wanted.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(wanted.sum(), x)[0])


INFINITE = (math.inf, -math.inf)
POINTS = (1.0, -1.0, 2.0, -2.0, 0.1, 5.5, -5.5)
SECOND = {  # with which a state on POINTS or at zero has a finite value
    "maximum": (0.0, *POINTS),
    "minimum": (0.0, *POINTS),
    "atan2": (0.0, -0.0, *POINTS, *INFINITE),
    "fmod": (*POINTS, *INFINITE),
    "remainder": POINTS,
    **dict.fromkeys(("lt", "le", "eq", "ne"), (0.0, -0.0, *POINTS, *INFINITE, math.nan)),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", SECOND)
def test_ties_and_signs_of_binary_functions(fn: str, dtype: torch.dtype) -> None:
    width = len(SECOND[fn])
    program = Program((1, width, 0, width, width), (Constant(3, SECOND[fn]), Binary(4, 1, 3, fn)), 4)
    y = torch.tensor((0.0, -0.0, *POINTS), dtype=dtype)[:, None].expand(-1, width)
    gradients, gradient = gradient_at(program, y)
    leaf = y.clone().requires_grad_()
    wanted = program.interpret(torch.tensor(0.0, dtype=dtype), leaf)
    torch.testing.assert_close(gradients, wanted.detach())
    wanted_gradient = torch.autograd.grad(wanted.sum() + 0 * leaf.sum(), leaf)[0]
    torch.testing.assert_close(gradient, wanted_gradient, equal_nan=True)


FLAT = ["sign", "floor", "ceil", "round", "trunc", "detach", "lt", "le", "eq", "ne", "select"]


@pytest.mark.parametrize("fn", FLAT)
def test_flat_functions_pass_no_gradient(fn: str) -> None:
    """Not even zero: the root's slope is infinite here, and zero times that is no number."""
    root = Unary(3, 1, "sqrt")
    flat: Op
    if fn == "select":
        flat = Select(4, 3, 1, 1)
    else:
        flat = Unary(4, 3, fn) if fn in UNARY else Binary(4, 3, 1, fn)
    program = Program((1, 1, 0, 1, 1, 1), (root, flat, Binary(5, 1, 4, "add")), 5)
    _, gradient = gradient_at(program, torch.zeros(3, 1, dtype=torch.float64))
    assert gradient.flatten().tolist() == [2.0 if fn == "select" else 1.0] * 3


def test_the_time_of_a_flat_function_has_no_gradient() -> None:
    steps = Gather(3, (0,), (0, 0)), Unary(4, 3, "floor"), Binary(5, 1, 4, "mul")
    program = Program((1, 2, 0, 2, 2, 2), steps, 5)
    compare(program, torch.tensor([2.5, 3.5], dtype=torch.float64), spread(-1, 1, 2, torch.float64), [])


# On both sides of every kink and where slopes are zero, but not where they are so only by rounding.
ARGUMENTS = (-4.0, -3.0, -2.0, -1.5, -1.0, -0.6, -0.3, -0.0, 0.0, 0.3, 0.5, 0.8, 1.0, 1.5, 2.5, 3.0, 4.0)


def halves(op: Op, width: int, x: Tensor, cotangent: float) -> tuple[Tensor, Tensor]:
    """Gradients in the arguments of a function whose value has this gradient: in the engine, and torch's.

    The state is a place for the value, which alone has a gradient, and the arguments, which have no rate.
    """
    first = Gather(3, (1,), (1,))
    second = Gather(4, (1,), (width,))
    program = Program(
        (1, 1 + width, 0, 1, 1, 1, 1, 1 + width),
        (first, second, op, Constant(6, (0.0,)), Gather(7, (5, 6), (0, *[1] * width))),
        7,
    )
    y = torch.cat([torch.zeros_like(x[:, :1]), x], 1).requires_grad_()
    t = torch.tensor([0.0, 1.0], dtype=x.dtype)
    gradients = []
    for value in (euler_step(program, t, y, ()), program.interpret(t[0], y)):
        grad = torch.zeros_like(y)
        grad[:, 0] = cotangent
        (gradient,) = torch.autograd.grad(value, y, grad, materialize_grads=True)
        gradients.append(gradient[:, 1:])
    return gradients[0], gradients[1]


@pytest.mark.parametrize("cotangent", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", sorted(set(UNARY) - {"detach"}))
def test_gradients_that_are_not_finite_are_masked_where_torch_masks(
    fn: str, dtype: torch.dtype, cotangent: float
) -> None:
    for constants in [(0.0,), (2.0,), (2.6,)] if fn == "power" else [CONSTANTS.get(fn, ())]:
        x = torch.tensor(ARGUMENTS, dtype=dtype)
        x = x[UNARY[fn].evaluate(x, *constants).isfinite()][:, None]
        actual, wanted = halves(Unary(5, 3, fn, constants), 1, x, cotangent)
        torch.testing.assert_close(actual, wanted, equal_nan=True)


@pytest.mark.parametrize("cotangent", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("fn", sorted(set(BINARY) - set(FLAT)))
def test_both_gradients_that_are_not_finite_are_masked_where_torch_masks(
    fn: str, dtype: torch.dtype, cotangent: float
) -> None:
    points = torch.tensor((0.0, *POINTS), dtype=dtype)
    x = torch.cartesian_prod(points, points)
    x = x[BINARY[fn](x[:, 0], x[:, 1]).isfinite()]
    actual, wanted = halves(Binary(5, 3, 4, fn), 2, x, cotangent)
    torch.testing.assert_close(actual, wanted, equal_nan=True)
