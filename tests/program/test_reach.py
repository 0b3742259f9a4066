"""What a gradient in the rate reaches, as autograd's graph of the interpreted Program has it."""

from __future__ import annotations

import pytest
import torch

from flashode.program import (
    BINARY,
    UNARY,
    Binary,
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

SHAPES = ((4, 4), (4,), (4,), (4,), (16,))


def graphs_edges(program: Program) -> set[int]:
    """The parameters to which autograd finds an edge."""
    parameters = [torch.ones(shape, requires_grad=True) for shape in program.parameter_shapes]
    y = torch.ones(3, program.widths[1], requires_grad=True)
    rate = program.interpret(torch.tensor(0.5), y, parameters)
    found = torch.autograd.grad((rate + 0 * y).sum(), parameters, allow_unused=True)
    return {i for i, gradient in enumerate(found) if gradient is not None}


@pytest.mark.parametrize("fn", [*sorted(UNARY), *sorted(set(BINARY) - set(UNARY))])
def test_functions_reach_what_autograd_has_an_edge_to(fn: str) -> None:
    binary = fn not in UNARY
    op: Op = Binary(4, 2, 3, fn) if binary else Unary(4, 2, fn, (0.5,) * len(UNARY[fn].constants))
    program = Program((1, 4, 4, 4, 4), (Parameter(2, 2), Parameter(3, 3), op), 4, SHAPES)
    assert program.reach().parameters == graphs_edges(program)
    assert not any(program.reach().rows)


def test_operations_reach_what_autograd_has_an_edge_to() -> None:
    ops = (
        Dense(2, 1, 0, 1, 1),
        Parameter(3, 2),
        Parameter(4, 4),
        Select(5, 3, 2, 3),
        DenseDynamic(6, 5, 4, 1, 1),
        SegmentSum(7, 6, (0, 0, 1, 3)),
        Parameter(8, 3),
        Unary(9, 8, "detach"),
        Gather(10, (7, 9), (0, 1, 2, 7)),
    )
    widths = (1, 4, 4, 4, 16, 4, 4, 4, 4, 4, 4)
    program = Program(widths, ops, 10, SHAPES)
    assert program.reach().parameters == graphs_edges(program) == {0, 1, 2, 4}
    condition = Program(widths[:6], (*ops[:3], Select(5, 3, 1, 1)), 5, SHAPES)
    assert condition.reach().parameters == graphs_edges(condition) == set()


def test_the_rows_of_the_state_that_are_reached() -> None:
    taken = Gather(2, (0, 1), (1, 3, 0, 3))
    assert Program((1, 4, 4), (taken,), 2).reach().rows == bytes([1, 0, 1, 0])
    all_rows = bytes([1, 1, 1, 1])
    assert Program((1, 4, 4), (Unary(2, 1, "exp"),), 2).reach().rows == all_rows
    assert Program((1, 4, 4), (Unary(2, 1, "detach"),), 2).reach().rows == bytes(4)
    assert Program((1, 4), (), 1).reach().rows == all_rows
    beside = (Gather(2, (1,), (0, 1, 0, 1)), Gather(3, (1,), (2, 3, 2, 3)), Unary(4, 3, "detach"))
    program = Program((1, 4, 4, 4, 4, 4), (*beside, Binary(5, 2, 4, "mul")), 5)
    assert program.reach().rows == bytes([1, 1, 0, 0])


def test_what_the_rate_does_not_read_is_not_reached() -> None:
    assert Program((1, 4, 4), (Parameter(2, 2),), 1, SHAPES).reach().parameters == set()
