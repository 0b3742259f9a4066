"""Which operations of a Program one loop does, and where their values are.

Values that all trajectories share (uniform ones) have one number a row, the others one for each lane. An
operation on values of trajectories reads a uniform one from a copy with lanes, which has a key of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flashode.engines.numba.fields.binary import BINARY
from flashode.engines.numba.fields.unary import CHEAP_POWERS, UNARY
from flashode.program import (
    INPUTS,
    Binary,
    Bucketize,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Lookup,
    Op,
    Parameter,
    Program,
    Select,
    T,
    Unary,
    operands,
)

# So many operations in one loop: more would need more registers than there are.
MOST_TOGETHER = 16
# These are kernels: what there is to do with large numbers is another loop.
_KERNELS = frozenset({"sin", "cos"})
# Calls of the standard library, which keep a loop from becoming vector code.
_CALLS = frozenset(
    {"exp2", "log2", "log10", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh"}
) | {"atanh", "sinc", "atan2", "fmod", "remainder", "floor_divide"}
_CALLS_OF_VJPS = frozenset({"sinh", "cosh", "sinc", "remainder"})


def is_uniform(program: Program, value: int) -> bool:
    """Whether a value is the same for all trajectories."""
    if value < INPUTS:
        return value == T
    return value < INPUTS + program.shared or isinstance(program.ops[value - INPUTS], (Parameter, Constant))


def with_lanes(program: Program, value: int) -> int:
    """The key of a value as operations on values of trajectories read it."""
    return ~value if is_uniform(program, value) else value


def gathered(program: Program, op: Gather) -> dict[int, list[tuple[int, int, int]]]:
    """Of each value the pieces that are taken: the first row, the row it becomes, and how many there are."""
    rows = [(value, row) for value in op.inputs for row in range(program.widths[value])]
    pieces: dict[int, list[tuple[int, int, int]]] = {}
    previous = (-1, -1)
    for to, index in enumerate(op.index):
        value, row = rows[index]
        if previous == (value, row - 1):
            begin, first, size = pieces[value][-1]
            pieces[value][-1] = begin, first, size + 1
        else:
            pieces.setdefault(value, []).append((row, to, 1))
        previous = value, row
    return pieces


def slices(program: Program) -> dict[int, tuple[int, int]]:
    """Values that are consecutive rows of another value of trajectories: that, and the first of its rows.

    They need no places of their own; the output does, which the caller reads.
    """
    found: dict[int, tuple[int, int]] = {}
    for op in program.ops:
        if not isinstance(op, Gather) or is_uniform(program, op.out) or op.out == program.output:
            continue
        pieces = gathered(program, op)
        ((value, of_value), *others) = pieces.items()
        if not others and len(of_value) == 1 and not is_uniform(program, value):
            root, row = found.get(value, (value, 0))
            found[op.out] = root, row + of_value[0][0]
    return found


def rows_of_output(program: Program) -> dict[int, int]:
    """Values that become rows of the output as they are: the first of these."""
    op = program.ops[program.output - INPUTS] if program.output >= INPUTS else None
    if not isinstance(op, Gather) or is_uniform(program, op.out):
        return {}
    return {
        value: pieces[0][1]
        for value, pieces in gathered(program, op).items()
        if len(pieces) == 1 and pieces[0][0] == 0 and pieces[0][2] == program.widths[value]
        if value >= INPUTS and not is_uniform(program, value)
    }


def is_elementwise(op: Op) -> bool:
    """Whether a loop over elements does it."""
    return isinstance(op, (Binary, Select)) or (isinstance(op, Unary) and op.fn not in _KERNELS)


def calls(op: Op, *, vjp: bool = False) -> bool:
    """Whether it calls the standard library, or its vjp does."""
    if isinstance(op, Unary) and op.fn == "power":
        return op.constants[0] - vjp not in CHEAP_POWERS
    if isinstance(op, Binary) and op.fn == "power":
        return True
    return isinstance(op, (Unary, Binary)) and op.fn in (_CALLS_OF_VJPS if vjp else _CALLS)


def reads_in_place(op: Op, value: int) -> bool:
    """Whether an operation reads a uniform value where it is, and not a copy with lanes."""
    match op:
        case Gather():
            return True
        case Bucketize(x=x):
            return value != x
        case Lookup(index=index):
            return value != index
    return False


def read_by_vjp(op: Op, targets: Collection[int], parameters: Collection[int]) -> Iterator[int]:
    """The values that it takes to give gradients to some of an operation's values and parameters."""
    match op:
        case Unary(out=out, x=x, fn=fn):
            yield from _read((x, out), UNARY[fn].reads)
        case Binary(out=out, a=a, b=b, fn=fn):
            yield from _read((a, b, out), BINARY[fn].reads)
        case Select(condition=condition):
            yield condition
        case Dense(x=x, weight=weight) if weight in parameters:
            yield x
        case Lookup(index=index):
            yield index
        case DenseDynamic(x=x, weight=weight):
            yield from [value for value, other in ((weight, x), (x, weight)) if other in targets]


def _read(values: Sequence[int], reads: Sequence[bool]) -> list[int]:
    return [value for value, read in zip(values, reads, strict=True) if read]


def needed(program: Program, wanted: Collection[int]) -> list[Op]:
    """The operations of trajectories that some values are made of."""
    reached = set(wanted)
    chosen = []
    for op in reversed(program.ops):
        if op.out in reached and not is_uniform(program, op.out):
            chosen.append(op)
            reached.update(operands(op))
    return chosen[::-1]


def emitted(program: Program) -> int:
    """How many operations become code: parameters, constants and slices are read where they are."""
    read_in_place = slices(program)
    return sum(
        op.out not in read_in_place and not isinstance(op, (Parameter, Constant)) for op in program.ops
    )


@dataclass
class Group:
    """Operations that one loop does, or a call.

    Attributes:
        ops: The operations; none where a uniform value is copied to lanes.
        copies: The key of the copy.
    """

    ops: list[Op]
    copies: int | None = None

    @property
    def elementwise(self) -> bool:
        """Whether it is a loop over elements."""
        return bool(self.ops) and is_elementwise(self.ops[0])

    def reads(self, program: Program, parts: Mapping[int, tuple[int, int]]) -> set[int]:
        """The keys of the values of trajectories that it reads, those it makes among them.

        Args:
            program: The Program.
            parts: Its `slices`.
        """
        return {
            with_lanes(program, parts.get(value, (value, 0))[0])
            for op in self.ops
            for value in operands(op)
            if not (is_uniform(program, value) and reads_in_place(op, value))
        }

    def writes(self) -> list[int]:
        """The keys of what it makes."""
        return [op.out for op in self.ops] if self.copies is None else [self.copies]


def grouped(program: Program, ops: Sequence[Op], parts: Mapping[int, tuple[int, int]]) -> list[Group]:
    """Operations of trajectories in groups, in an order in which they can be done; without the slices."""
    groups: list[Group] = []
    copied: set[int] = set()
    for op in ops:
        if op.out in parts:
            continue
        if not (groups and _joins(program, op, groups[-1])):
            groups.append(Group([]))
        groups[-1].ops.append(op)
        for key in sorted(groups[-1].reads(program, parts), reverse=True):
            if key < 0 and key not in copied:
                copied.add(key)
                groups.insert(-1, Group([], key))
    return groups


def _joins(program: Program, op: Op, group: Group) -> bool:
    last = group.ops[-1] if group.ops else None
    if last is None or not (is_elementwise(op) and is_elementwise(last)) or len(group.ops) >= MOST_TOGETHER:
        return False
    return program.widths[op.out] == program.widths[last.out] and not calls(op) and not calls(last)
