"""The builder: literals are folded, equal operations are emitted once, and neutral ones not at all."""

import numpy as np
import torch

from flashode.capture.lowering.rows import ProgramBuilder
from flashode.program import Binary, Constant, DenseDynamic, Select

D = torch.float64


def builder() -> ProgramBuilder:
    return ProgramBuilder(4, 0, D)


def constant(build: ProgramBuilder, *values: float) -> np.ndarray:
    return build.constant(np.array(values))


def test_a_choice_by_literals_is_no_operation() -> None:
    build = builder()
    y = build.value(1)
    chosen = build.select(constant(build, 1.0, 0.0, 2.0, 0.0), y, y[::-1])
    assert chosen.tolist() == [y[0], y[2], y[2], y[0]]


def test_equal_choices_are_made_once() -> None:
    build = builder()
    y = build.value(1)
    condition, other = build.unary("sign", (), y), build.unary("sin", (), y)
    first = build.select(condition, y, other)
    assert np.array_equal(first, build.select(condition, y, other))
    repeated = build.select(np.tile(condition, (2, 1)), np.tile(y, (2, 1)), np.tile(other, (2, 1)))
    assert np.array_equal(repeated, np.tile(first, (2, 1)))
    program, _ = build.finish(first)
    assert sum(isinstance(op, Select) for op in program.ops) == 1


def test_a_choice_means_what_it_says() -> None:
    build = builder()
    y = build.value(1)
    output = build.select(build.binary("lt", y, constant(build, 0, 0, 0, 0)), build.unary("neg", (), y), y)
    program, _ = build.finish(output)
    state = torch.tensor([-1.0, 2.0, 0.0, -3.0], dtype=D)
    torch.testing.assert_close(program.interpret(torch.tensor(0.0, dtype=D), state), state.abs())


def test_products_with_computed_matrices() -> None:
    build = builder()
    y = build.value(1)
    matrix = build.unary("sin", (), y).reshape(1, 2, 2)
    x = y.reshape(1, 2, 2)
    output = build.dense_dynamic(x, matrix)
    assert np.array_equal(output, build.dense_dynamic(x, matrix))
    program, _ = build.finish(output)
    assert sum(isinstance(op, DenseDynamic) for op in program.ops) == 1
    state = torch.arange(4.0, dtype=D)
    expected = state.view(2, 2) @ state.view(2, 2).sin().mT
    torch.testing.assert_close(program.interpret(torch.tensor(0.0, dtype=D), state), expected.ravel())


def test_adding_nothing_and_multiplying_by_one_leave_rows_as_they_are() -> None:
    build = builder()
    y = build.value(1)
    zeros, ones = constant(build, 0, 0, 0, 0), constant(build, 1, 1, 1, 1)
    nothing = constant(build, -0.0, -0.0, -0.0, -0.0)
    for fn, a, b in (("add", y, nothing), ("add", nothing, y), ("sub", y, zeros), ("mul", ones, y)):
        assert np.array_equal(build.binary(fn, a, b), y)
    assert not np.array_equal(build.binary("sub", zeros, y), y)
    mixed = build.binary("add", y, constant(build, -0.0, 1.0, -0.0, 2.0))
    assert mixed[[0, 2]].tolist() == y[[0, 2]].tolist()
    program, _ = build.finish(mixed)
    (added,) = (op for op in program.ops if isinstance(op, Binary))
    assert program.widths[added.out] == 2


def test_what_makes_another_zero_of_a_negative_one_is_an_operation() -> None:
    build = builder()
    y = build.value(1)
    zeros = constant(build, 0, 0, 0, 0)
    for fn, b in (("add", zeros), ("sub", constant(build, -0.0, -0.0, -0.0, -0.0))):
        program, _ = build.finish(build.binary(fn, y, b))
        values = program.interpret(torch.tensor(0.0, dtype=D), -torch.zeros(4, dtype=D))
        assert not values.signbit().any()


def test_repeated_literals_are_one_constant() -> None:
    build = builder()
    y = build.value(1)
    spread = np.broadcast_to(constant(build, 0.3), (4,))
    program, _ = build.finish(build.binary("lt", y, spread))
    assert [op for op in program.ops if isinstance(op, Constant)] == [Constant(3, (0.3,) * 4)]
