"""How long the values of a Program are read, and which need no place of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flashode.program import INPUTS, SLOPE_BY_VALUE, Dense, Op, Program, Unary, operands


def last_uses(program: Program, fused: Mapping[int, Op]) -> dict[int, int]:
    """The position of the last operation that reads a value; of the output, beyond the end.

    Args:
        program: The Program.
        fused: Values that are made of an operation before it is stored, with the operation.
    """
    last = {op.out: -1 for op in program.ops}
    for position, op in enumerate(program.ops):
        for value in operands(op):
            last[value] = max(last.get(value, -1), position)
    for out, inner in fused.items():
        for value in operands(inner):
            last[value] = max(last.get(value, -1), out - INPUTS)
    last[program.output] = len(program.ops)
    return last


def fusions(program: Program, keep: bool) -> Iterator[tuple[int, Op]]:
    """Values of element-wise functions that are made of a product before it is stored, with the product.

    Where values are kept for a vjp, those that it can do without.
    """
    readers: dict[int, int] = {program.output: 1}
    for op in program.ops:
        for value in operands(op):
            readers[value] = readers.get(value, 0) + 1
    products = {op.out: op for op in program.ops if isinstance(op, Dense)}
    for op in program.ops:
        if isinstance(op, Unary) and op.x in products and readers[op.x] == 1:
            if keep and op.fn not in SLOPE_BY_VALUE:
                continue
            shared = INPUTS + program.shared
            if (op.out < shared) == (op.x < shared):
                yield op.out, products[op.x]
