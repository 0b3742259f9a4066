"""Every element-wise function and its vjp at special numbers, against torch."""

from __future__ import annotations

import dis
import inspect
import itertools
import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from flashode.engines.numba.fields.binary import BINARY as OWN_BINARY
from flashode.engines.numba.fields.field_code import field_code, vjp_code
from flashode.engines.numba.fields.unary import UNARY as OWN_UNARY
from flashode.program import BINARY, UNARY, Binary, Gather, Op, Program, Unary, Y
from numba_tiles import Inputs, evaluate, gradients
from special.points import few, numbers

DTYPES = (torch.float32, torch.float64)
# In units in the last place; of functions that torch itself computes with larger errors, more.
UNITS = 8
ROUGH = {"sinc": 64, "logit": 32, "xlogy": 16, "power": 64}
CONSTANTS: dict[str, tuple[tuple[float, ...], ...]] = {
    "affine": ((0.5, 0.1), (-1.0, 1.0), (0.3, -0.0)),
    "power": tuple(
        (p,) for p in (0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 1.5, 1 / 3, math.inf, math.nan)
    ),
    "leaky_relu": ((0.1,), (0.0,), (2.0,)),
    "elu": ((1.0, 1.0, 1.0), (0.7, 1.1, 0.5), (-1.0, 1.0, 1.0)),
    "softplus": ((1.0, 20.0), (2.0, 3.0), (-1.0, 20.0)),
    "hardtanh": ((-1.0, 1.0), (-0.5, 0.7)),
    "logit": ((0.25,), (-1.0,)),
    "clamp": ((-0.5, 0.7), (1.0, -1.0), (-math.inf, 0.3), (0.1, math.inf)),
}
UNARY_CASES = [(fn, constants) for fn in UNARY for constants in CONSTANTS.get(fn, ((),))]


def test_the_tables_have_all_functions() -> None:
    assert {*OWN_UNARY} == {*UNARY}
    assert {*OWN_BINARY} == {*BINARY}


@pytest.mark.parametrize("name", [*OWN_UNARY, *OWN_BINARY])
def test_what_a_vjp_is_said_to_read_it_reads(name: str) -> None:
    for table in (OWN_UNARY, OWN_BINARY):
        if name in table:
            function = table[name].vjp.py_func
            arguments = [*inspect.signature(function).parameters]
            code = function.__code__
            read = {instruction.argval for instruction in dis.get_instructions(code)}
            for argument in arguments:
                assert argument.startswith("_") == (argument not in read), (name, argument)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_unary_functions(dtype: torch.dtype) -> None:
    points = torch.tensor(numbers(dtype), dtype=dtype)
    ops: list[Op] = []
    widths = [1, len(UNARY_CASES), 0]

    def add(make: Callable[..., Op], width: int, *arguments: object) -> int:
        ops.append(make(len(widths), *arguments))
        widths.append(width)
        return len(widths) - 1

    results = [
        add(Unary, 1, add(Gather, 1, (Y,), (row,)), fn, constants)
        for row, (fn, constants) in enumerate(UNARY_CASES)
    ]
    output = add(Gather, len(results), tuple(results), tuple(range(len(results))))
    program = Program(tuple(widths), tuple(ops), output)
    values, grads = solved(program, points[:, None].expand(-1, len(results)), torch.ones(len(results)))
    wrong: list[str] = []
    for row, (fn, constants) in enumerate(UNARY_CASES):

        def function(x: Tensor, fn: str = fn, constants: tuple[float, ...] = constants) -> Tensor:
            return UNARY[fn].evaluate(x, *constants)

        wrong += differences(f"{fn} {constants}", function, [points], values[:, row], [grads[:, row]])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_binary_functions(dtype: torch.dtype) -> None:
    pairs = torch.tensor([*itertools.product(few(dtype), repeat=2)], dtype=dtype)
    count = len(BINARY)
    ops: list[Op] = []
    widths = [1, 2 * count, 0]
    for row, fn in enumerate(BINARY):
        for _ in range(2):
            ops.append(Gather(len(widths), (Y,), (row if len(ops) % 3 == 0 else count + row,)))
            widths.append(1)
        ops.append(Binary(len(widths), len(widths) - 2, len(widths) - 1, fn))
        widths.append(1)
    results = tuple(range(5, 3 + len(ops), 3))
    ops.append(Gather(len(widths), results, (*range(count), *range(count))))
    program = Program((*widths, 2 * count), tuple(ops), len(widths))
    points = torch.cat([pairs[:, :1].expand(-1, count), pairs[:, 1:].expand(-1, count)], 1)
    values, grads = solved(program, points, torch.cat([torch.ones(count), torch.zeros(count)]))
    wrong: list[str] = []
    for row, fn in enumerate(BINARY):
        own = [grads[:, row], grads[:, count + row]]
        wrong += differences(fn, BINARY[fn], [pairs[:, 0], pairs[:, 1]], values[:, row], own)
    assert not wrong, "\n".join(wrong)


def solved(program: Program, points: Tensor, cotangent: Tensor) -> tuple[Tensor, Tensor]:
    """Rates and gradients, both of which are of functions of rows alone."""
    dtype = points.dtype
    code = field_code(program, dtype)
    vjp = vjp_code(program, dtype, (), ())
    inputs = Inputs(0.0, points, points[:, :0], ())
    values = evaluate(program, code, inputs)
    given = cotangent.to(dtype).expand(len(points), -1)
    return values, gradients(program, code, vjp, inputs, given, (), ()).y


def differences(
    name: str,
    function: Callable[..., Tensor],
    points: Sequence[Tensor],
    values: Tensor,
    grads: Sequence[Tensor],
) -> list[str]:
    """Where values and gradients are not torch's."""
    lines = []
    for what, own in (("value", [values]), ("vjp", grads)):
        outside = same(name, what, own, torchs(function, points)[what]).logical_not()
        for i in outside.nonzero().flatten().tolist():
            # Torch's kernels treat the remainder of a vector by other code, with other rounding.
            at, mine = ([part[i : i + 1] for part in parts] for parts in (points, own))
            wanted = torchs(function, at)[what]
            if not same(name, what, mine, wanted).all() and not vague(name, what, float(at[0])):
                shown = ([float(part[0]) for part in parts] for parts in (at, mine, wanted))
                lines.append("{} of {} at {}: {}, not {}".format(what, name, *shown))
    return lines


def torchs(function: Callable[..., Tensor], points: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """Its values and its gradients."""
    arguments = [part.clone().requires_grad_() for part in points]
    value = function(*arguments)
    if not value.requires_grad:
        return {"value": [value], "vjp": [torch.zeros_like(part) for part in points]}
    vjp = torch.autograd.grad(value.sum(), arguments, allow_unused=True, materialize_grads=True)
    return {"value": [value.detach()], "vjp": list(vjp)}


def same(name: str, what: str, own: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """Whether numbers agree; what is no number or infinite has to be so."""
    fn, dtype = name.split(maxsplit=1)[0], own[0].dtype
    # Torch multiplies by a sixth in single precision.
    eps = torch.finfo(torch.float32 if (fn, what) == ("hardsigmoid", "vjp") else dtype).eps
    close = ROUGH.get(fn, UNITS) * eps
    each = [
        torch.isclose(a, b, rtol=close, atol=close, equal_nan=True) for a, b in zip(own, wanted, strict=True)
    ]
    return torch.stack(each).all(0)


def vague(name: str, what: str, x: float) -> bool:
    """Whether it is all rounding, in torch too: the slope of sinc cancels towards zero."""
    return (name.split(maxsplit=1)[0], what) == ("sinc", "vjp") and abs(x) < 1e-2
