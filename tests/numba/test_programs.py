"""Programs with every kind of operation as machine code, against their interpretation in plain torch."""

from __future__ import annotations

import inspect
import linecache
import traceback
import warnings

import pytest
import torch

from flashode.engines.numba.fields.field_code import _function, _functions, field_code, vjp_code
from flashode.program import (
    Binary,
    C,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    T,
    Unary,
    Y,
)
from numba_tiles import compare

DTYPES = (torch.float32, torch.float64)


def program(
    width: int,
    of_c: int,
    *ops: tuple[int, Op],
    shapes: tuple[tuple[int, ...], ...] = (),
    shared: int = 0,
) -> Program:
    """A Program whose output is the result of the last operation; each operation stands with its width."""
    widths = (1, width, of_c, *[each for each, _ in ops])
    return Program(widths, tuple(op for _, op in ops), len(widths) - 1, shapes, shared)


# Products of every shape, of values of trajectories and of those that all of them share.
PRODUCTS = program(
    6,
    3,
    (6, Parameter(3, 0)),
    (12, Dense(4, T, 1, 2, 1)),
    (12, Unary(5, 4, "sin")),
    (2, DenseDynamic(6, 3, 5, 1, 1)),
    (4, DenseDynamic(7, Y, 5, 2, 1)),
    (34, Dense(8, 7, 3, 4, 2)),
    (34, Unary(9, 8, "tanh")),
    (6, Dense(10, 9, 5, None, 2)),
    (12, Gather(11, (10, 6, C, 3, Y), (0, 7, 9, 2, 22, 22, 13, 4, 5, 6, 17, 18))),
    (12, Unary(12, 11, "cos")),
    (18, DenseDynamic(13, Y, 12, 1, 3)),
    (6, SegmentSum(14, 13, (0, 0, 0, 5, 5, 5, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 4, 3))),
    (6, Binary(15, 14, 3, "mul")),
    (6, Binary(16, 15, Y, "lt")),
    (6, Select(17, 16, 15, 10)),
    (6, Dense(18, T, 6, None, 1)),
    (6, Binary(19, 17, 18, "add")),
    shapes=((6,), (12, 1), (12,), (17, 2), (17,), (3, 17), (6, 1)),
    shared=4,
)
# A layer that is wider than vectors, with weights that are read twice.
WIDE = program(
    40,
    0,
    (70, Dense(3, Y, 0, 1, 1)),
    (70, Unary(4, 3, "softplus", (1.0, 20.0))),
    (40, Dense(5, 4, 2, None, 1)),
    (40, Unary(6, 5, "sin")),
    (70, Dense(7, 6, 0, 1, 1)),
    (40, Dense(8, 7, 2, 3, 1)),
    shapes=((70, 40), (70,), (40, 70), (40,)),
)
# Rows that are taken in many pieces, from values that stand twice among the inputs, or are shared.
MOVES = program(
    9,
    2,
    (3, Constant(3, (0.5, -1.25, 0.0))),
    (9, Parameter(4, 0)),
    (9, Gather(5, (4, 3, 4), (8, 0, 9, 2, 11, 4, 10, 1, 20))),
    (14, Gather(6, (Y, 5, Y, C), (0, 9, 18, 1, 10, 19, 27, 2, 11, 20, 28, 5, 5, 5))),
    (14, Unary(7, 6, "tanh")),
    (9, SegmentSum(8, 7, (8, 8, 0, 1, 2, 3, 4, 5, 7, 7, 7, 1, 0, 0))),
    (9, Gather(9, (8,), tuple(range(8, -1, -1)))),
    (9, Binary(10, 9, 5, "sub")),
    shapes=((9,),),
    shared=3,
)
# Rows that need no place of their own: they overlap, are rows of such rows, all rows, and the output.
SLICES = program(
    4,
    0,
    (2, Gather(3, (Y,), (0, 1))),
    (2, Gather(4, (Y,), (1, 2))),
    (2, Gather(5, (Y,), (2, 3))),
    (2, Binary(6, 3, 4, "mul")),
    (2, Binary(7, 6, 5, "sub")),
    (4, Gather(8, (7, 6), (0, 1, 2, 3))),
    (3, Gather(9, (8,), (1, 2, 3))),
    (2, Gather(10, (9,), (1, 2))),
    (2, Binary(11, 10, 7, "mul")),
    (4, Gather(12, (Y,), (0, 1, 2, 3))),
    (4, Gather(13, (11, 3), (0, 1, 2, 3))),
    (4, Binary(14, 13, 12, "mul")),
    (4, Gather(15, (14,), (0, 1, 2, 3))),
)
# Results that become rows of the output: one is read again, one is among the inputs twice, one is a slice.
OUTPUTS = program(
    6,
    0,
    (1, Gather(3, (Y,), (1,))),
    (1, Gather(4, (Y,), (4,))),
    (1, Binary(5, 3, 4, "mul")),
    (1, Unary(6, 5, "tanh")),
    (2, Gather(7, (Y,), (2, 3))),
    (2, Unary(8, 7, "sigmoid")),
    (1, Binary(9, 6, 4, "add")),
    (1, Unary(10, 9, "silu")),
    (6, Gather(11, (9, 10, 8, 6, 3, 9, 10), (0, 3, 1, 2, 4, 6))),
)
# Of one width, and more than one loop takes.
CHAIN = program(
    5,
    0,
    *[
        (5, op)
        for first in range(3, 27, 4)
        for op in (
            Unary(first, first - 1 if first > 3 else Y, "affine", (0.7, 0.2)),
            Unary(first + 1, first, "silu"),
            Binary(first + 2, first, first + 1, "mul"),
            Binary(first + 3, first + 2, Y, "sub"),
        )
    ],
)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", ["PRODUCTS", "WIDE", "MOVES", "SLICES", "OUTPUTS", "CHAIN"])
def test_programs(name: str, dtype: torch.dtype) -> None:
    chosen: Program = globals()[name]
    sources = [T, C] if chosen.widths[C] else [T]
    compare(chosen, dtype, sources, range(len(chosen.parameter_shapes)))


@pytest.mark.parametrize("name", ["PRODUCTS", "MOVES", "OUTPUTS"])
def test_programs_in_pieces(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashode.engines.numba.fields.source.MOST_LINES", 12)
    chosen: Program = globals()[name]
    assert len(field_code(chosen, torch.float64).field.definition.pieces) > 1
    assert len(vjp_code(chosen, torch.float64, (T, C), (0,)).definition.pieces) > 3
    sources = [T, C] if chosen.widths[C] else [T]
    compare(chosen, torch.float64, sources, range(len(chosen.parameter_shapes)))


def test_rows_take_no_more_memory_than_they_have() -> None:
    sines = program(1, 0, (1, Unary(3, Y, "sin")), (1, Unary(4, 3, "sin")), (1, Unary(5, 4, "sin")))
    assert field_code(sines, torch.float64).field.work(16) == 2 * 16
    # And those of the gradients.
    assert vjp_code(sines, torch.float64, (), ()).work(16) <= 5 * 16


@pytest.mark.parametrize("sources", [(), (T,), (C,)], ids=str)
def test_some_of_the_gradients(sources: tuple[int, ...]) -> None:
    compare(PRODUCTS, torch.float64, sources, (1, 3, 6))


@pytest.mark.parametrize("output", ["t", "y", "c", "parameter", "constant", "shared"])
def test_rates_that_are_copies(output: str) -> None:
    ops = (Parameter(3, 0), Constant(4, (1.5,)), Unary(5, T, "cos"))
    at = {"t": T, "y": Y, "c": C, "parameter": 3, "constant": 4, "shared": 5}[output]
    copies = Program((1, 1, 1, 1, 1, 1), ops, at, ((1,),), 3)
    compare(copies, torch.float64, (T, C), (0,))
    compare(copies, torch.float64, (), ())


def test_thousands_of_rows() -> None:
    # A table that is a constant of the code.
    rows = 4000
    index = tuple((7919 * row) % rows for row in range(rows))
    moved = program(
        rows,
        0,
        (rows, Gather(3, (Y,), index)),
        (rows, Constant(4, tuple(0.25 * (row % 7) for row in range(rows)))),
        (rows, Binary(5, 3, 4, "mul")),
        (rows, SegmentSum(6, 5, index[::-1])),
    )
    compare(moved, torch.float64, (), ())


def numbered(number: float) -> Program:
    """Numbers of every kind, in what all trajectories share too."""
    return program(
        3,
        0,
        (3, Constant(3, (number, 1.0, -number))),
        (1, Unary(4, T, "affine", (number, 0.1))),
        (3, Unary(5, Y, "elu", (number, 1.0, 1.0))),
        (3, Binary(6, 5, 3, "mul")),
        (3, Unary(7, 6, "sigmoid")),
        (3, Unary(8, 7, "power", (1.0 + number,))),
        (3, Unary(9, 8, "clamp", (-number, number))),
        (3, Gather(10, (4,), (0, 0, 0))),
        (3, Binary(11, 9, 10, "add")),
        shared=2,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_of_other_numbers_it_is_the_same_code(dtype: torch.dtype) -> None:
    before = len(_functions)
    for number in (0.7, 0.8, 1.3, 2.1):
        compare(numbered(number), dtype, (T,), ())
    assert len(_functions) == before + 3


def test_exponents_that_choose_code_are_part_of_it() -> None:
    """A square is a product, the gradient in a power of one and a half takes a root."""

    def definition(exponent: float) -> str:
        power = program(2, 0, (2, Unary(3, Y, "power", (exponent,))))
        return vjp_code(power, torch.float64, (), ()).definition.module

    assert len({definition(exponent) for exponent in (2.0, 3.0, 1.5, 1.7, 1.8, -1.7)}) == 4


def test_large_arguments_of_sin_and_cos() -> None:
    waves = program(
        2,
        0,
        (2, Unary(3, Y, "affine", (1e9, 0.0))),
        (2, Unary(4, 3, "sin")),
        (2, Unary(5, 3, "cos")),
        (2, Binary(6, 4, 5, "mul")),
    )
    compare(waves, torch.float64, (), ())


def test_nothing_is_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = program(3, 0, (3, Unary(3, Y, "clamp", (0.123, 1e300))), (3, Unary(4, 3, "exp")))
        for dtype in DTYPES:
            field_code(other, dtype)
            vjp_code(other, dtype, (), ())


def test_tracebacks_show_the_text() -> None:
    text = "def field(y):\n    # the reason\n    return 1 / y\n"
    function = _function(text, "field", "0" * 64)
    assert inspect.getsource(function) == text
    try:
        function(0)
    except ZeroDivisionError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        assert frame.line == "return 1 / y"
        assert linecache.getlines(frame.filename) == text.splitlines(keepends=True)


def test_texts_say_what_they_do() -> None:
    text = field_code(PRODUCTS, torch.float64).field.text
    for line in ("# v9 = tanh(v8)", "# v8 = p3 @ v7 + p4, 2 times", "# v15 = mul(v14, v3)"):
        assert line in text
    # Functions that stand together are one loop.
    assert text.count("for i in range") == 3
