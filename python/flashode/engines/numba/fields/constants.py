"""The numbers of a Program's operations, which code reads from memory: it is the same for other numbers."""

from __future__ import annotations

from collections.abc import Sequence

from flashode.engines.numba.fields.placement import calls
from flashode.program import Constant, Op, Program, Unary
from flashode.program.printing import format_op, name


def chooses_code(op: Unary) -> bool:
    """Whether code depends on an operation's numbers: an exponent may have a cheaper form than the power."""
    return op.fn == "power" and not (calls(op) and calls(op, vjp=True))


def format_structure(op: Op) -> str:
    """The right-hand side of an operation, without numbers that are in memory."""
    if isinstance(op, Unary) and not chooses_code(op):
        return f"{op.fn}({name(op.x)})"
    return format_op(op)


class Constants:
    """Where the numbers of operations are.

    Attributes:
        numbers: All of them.
        offsets: The first one of each operation that has any, by what it makes.
    """

    def __init__(self, program: Program) -> None:
        self.numbers: list[float] = []
        self.offsets: dict[int, int] = {}
        for op in program.ops:
            own = _in_memory(op)
            if own:
                self.offsets[op.out] = len(self.numbers)
                self.numbers += own


def _in_memory(op: Op) -> Sequence[float]:
    match op:
        case Constant(values=values):
            return values
        case Unary(constants=constants) if not chooses_code(op):
            return constants
    return ()
