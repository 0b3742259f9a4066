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
    gradients = torch.autograd.grad((rate + 0 * y).sum(), parameters, allow_unused=True)
    return {i for i, gradient in enumerate(gradients) if gradient is not None}


@pytest.mark.parametrize("fn", [*sorted(UNARY), *sorted(set(BINARY) - set(UNARY))])
def test_functions_reach_what_autograd_has_an_edge_to(fn: str) -> None:
    binary = fn not in UNARY
    op: Op = Binary(5, 3, 4, fn) if binary else Unary(5, 3, fn, (0.5,) * len(UNARY[fn].constants))
    program = Program((1, 4, 0, 4, 4, 4), (Parameter(3, 2), Parameter(4, 3), op), 5, SHAPES)
    assert program.reach().parameters == graphs_edges(program)
    assert not any(program.reach().rows)


def test_operations_reach_what_autograd_has_an_edge_to() -> None:
    ops = (
        Dense(3, 1, 0, 1, 1),
        Parameter(4, 2),
        Parameter(5, 4),
        Select(6, 4, 3, 4),
        DenseDynamic(7, 6, 5, 1, 1),
        SegmentSum(8, 7, (0, 0, 1, 3)),
        Parameter(9, 3),
        Unary(10, 9, "detach"),
        Gather(11, (8, 10), (0, 1, 2, 7)),
    )
    widths = (1, 4, 0, 4, 4, 16, 4, 4, 4, 4, 4, 4)
    program = Program(widths, ops, 11, SHAPES)
    assert program.reach().parameters == graphs_edges(program) == {0, 1, 2, 4}
    condition = Program(widths[:7], (*ops[:3], Select(6, 4, 1, 1)), 6, SHAPES)
    assert condition.reach().parameters == graphs_edges(condition) == set()


def test_the_rows_of_what_belongs_to_a_trajectory_that_are_reached() -> None:
    def rows(output: int, *ops: Op) -> bytes:
        return Program((1, 4, 4, *[4] * len(ops)), ops, output).reach().rows

    assert rows(3, Gather(3, (0, 2), (1, 3, 0, 3))) == bytes([1, 0, 1, 0])
    assert rows(3, Gather(3, (1, 2), (1, 3, 0, 7))) == bytes([0, 0, 0, 1])
    all_rows = bytes([1, 1, 1, 1])
    assert rows(3, Unary(3, 2, "exp")) == all_rows
    assert rows(3, Unary(3, 2, "detach")) == rows(3, Unary(3, 1, "exp")) == bytes(4)
    assert rows(2) == all_rows
    beside = (Gather(3, (2,), (0, 1, 0, 1)), Gather(4, (2,), (2, 3, 2, 3)), Unary(5, 4, "detach"))
    assert rows(6, *beside, Binary(6, 3, 5, "mul")) == bytes([1, 1, 0, 0])


def test_what_the_rate_does_not_read_is_not_reached() -> None:
    assert Program((1, 4, 0, 4), (Parameter(3, 2),), 1, SHAPES).reach().parameters == set()
