"""What a gradient in the rate reaches: what autograd has an edge to, not where its gradient is zero."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from flashode.program.functions import SEVERING
from flashode.program.operations import Operations
from flashode.program.ops import Binary, Bucketize, C, Gather, Lookup, Op, Select, Unary, operands, parameters


class Reach(NamedTuple):
    """What a gradient in dy/dt reaches: indices of parameters, and a byte for each row of c."""

    parameters: frozenset[int]
    rows: bytes


def reach(program: Operations) -> Reach:
    """Follows gradients from the output; see ``Program.reach``."""
    reached = {program.output}
    found: set[int] = set()
    width = program.widths[C]
    rows = bytearray(width)
    for op in reversed(program.ops):
        if op.out not in reached:
            continue
        found.update(learned_by(op))
        passed = passed_to(op)
        reached.update(passed)
        if C in passed:
            for row in _rows_of_c(op, program.widths):
                rows[row] = True
    if program.output == C:
        rows = bytearray(b"\1") * width
    return Reach(frozenset(found), bytes(rows))


def passed_to(op: Op) -> tuple[int, ...]:
    """The values that a gradient of what ``op`` writes is passed on to."""
    match op:
        case Unary(fn=fn) | Binary(fn=fn) if fn in SEVERING:
            return ()
        case Select(a=a, b=b):
            return (a, b)
        case Bucketize():
            return ()
        case Lookup(table=table):
            return () if table is None else (table,)
    return operands(op)


def learned_by(op: Op) -> tuple[int, ...]:
    """The parameters that a gradient of what ``op`` writes is passed on to."""
    return () if isinstance(op, Bucketize) else parameters(op)


def _rows_of_c(op: Op, widths: tuple[int, ...]) -> Iterable[int]:
    """The rows of c among those that an operation takes."""
    if isinstance(op, Gather):
        return _gathered_rows_of_c(op.inputs, op.index, widths)
    return op.reads().tolist() if isinstance(op, Lookup) else range(widths[C])


def _gathered_rows_of_c(inputs: tuple[int, ...], index: Sequence[int], widths: tuple[int, ...]) -> set[int]:
    found: set[int] = set()
    start = 0
    for value in inputs:
        if value == C:
            found.update(i - start for i in index if 0 <= i - start < widths[C])
        start += widths[value]
    return found
