"""The text of a field over a tile: which rows are where, and the loops and calls that make them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

import torch

from flashode.engines.generated.memory import Memory, Region
from flashode.engines.numba.fields.binary import BINARY
from flashode.engines.numba.fields.constants import Constants, chooses_code, format_structure
from flashode.engines.numba.fields.placement import (
    Group,
    gathered,
    grouped,
    is_uniform,
    needed,
    rows_of_output,
    slices,
    with_lanes,
)
from flashode.engines.numba.fields.source import Source, Text
from flashode.engines.numba.fields.unary import UNARY
from flashode.program import (
    INPUTS,
    Binary,
    Bucketize,
    C,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Lookup,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    T,
    Unary,
    Y,
    operands,
)
from flashode.program.printing import name

# Rows that are moved in more pieces than this are moved by a table.
PIECES = 4
FIELD_ARGUMENTS = "t, y, c, parameters, uniform, work, out, lanes"
SHARED_ARGUMENTS = "t, parameters, uniform"


class UniformLayout:
    """Where values are that all trajectories share: t first, then the results of the shared operations."""

    def __init__(self, program: Program) -> None:
        self.offsets = {T: 0}
        self.size = 1
        for op in program.ops[: program.shared]:
            if not isinstance(op, (Parameter, Constant)):
                self.offsets[op.out] = self.size
                self.size += program.widths[op.out]


class Evaluation:
    """Evaluates operations of a Program, in the text of a function; it has none of their numbers.

    Args:
        program: The field.
        dtype: Of the state.
        like: The name of a pointer to numbers of the state's precision.

    Attributes:
        rows_of_out: Results that have their places in the caller's memory, as rows of the output.
    """

    def __init__(self, program: Program, dtype: torch.dtype, like: str) -> None:
        self.program = program
        self.source = Source(dtype)
        self.like = like
        self.uniform = UniformLayout(program)
        self.constants = Constants(program)
        self.rows_of_out: dict[int, int] = {}

    # Values

    def is_uniform(self, value: int) -> bool:
        """Whether a value is the same for all trajectories."""
        return is_uniform(self.program, value)

    def width(self, key: int) -> int:
        """Rows of a value, or of a copy of one."""
        return self.program.widths[~key if key < 0 else key]

    def name(self, key: int) -> str:
        """How the text names a value, or a copy of one with lanes."""
        return f"{name(~key)}_lanes" if key < 0 else name(key)

    def place(self, key: int) -> str:
        """The pointer to a value of trajectories."""
        return self.name(key)

    def uniform_place(self, value: int) -> str:
        """The pointer to a value that they share."""
        if value in self.uniform.offsets:
            return self.source.pointer(
                "time" if value == T else self.name(value), f"part(uniform, {self.uniform.offsets[value]})"
            )
        op = self.program.ops[value - INPUTS]
        if isinstance(op, Parameter):
            return self.source.pointer(self.name(value), self._parameter(op.parameter))
        assert isinstance(op, Constant)
        numbers = moved(self._numbers(), self.constants.offsets[value], "1")
        return self.source.pointer(self.name(value), numbers)

    def _numbers(self) -> str:
        """The pointer to the numbers of operations; their address follows those of the parameters."""
        return self.source.pointer("constants", self._parameter(len(self.program.parameter_shapes)))

    def _parameter(self, parameter: int) -> str:
        return f"numbers_at(parameters[{parameter}], {self.like})"

    def parameter(self, parameter: int) -> str:
        """The pointer to a parameter."""
        return self.source.pointer(f"p{parameter}", self._parameter(parameter))

    # Operations, on values of trajectories or, with one lane, on those that they share

    def operand(self, value: int, lanes: str) -> str:
        """The pointer by which an operation reads a value."""
        return self.uniform_place(value) if lanes == "1" else self.place(with_lanes(self.program, value))

    def result(self, value: int, lanes: str) -> str:
        """The pointer to what it makes."""
        return self.uniform_place(value) if lanes == "1" else self.place(value)

    def loop(self, ops: Sequence[Op], stored: Collection[int], lanes: str) -> None:
        """Element-wise operations of one width."""
        for op in ops:
            self.comment(op)
        body: list[str] = []
        known: set[int] = set()
        for op in ops:
            for value in operands(op):
                if value not in known:
                    known.add(value)
                    body.append(f"{scalar(value)} = {self.operand(value, lanes)}[i]")
            known.add(op.out)
            body.append(f"{scalar(op.out)} = {self._expression(op)}")
        body += [f"{self.result(op.out, lanes)}[i] = {scalar(op.out)}" for op in ops if op.out in stored]
        self.over_elements(self.width(ops[0].out), lanes, body)

    def over_elements(self, width: int, lanes: str, body: Iterable[str]) -> None:
        """A loop over all numbers of so many rows."""
        self.source.line(f"for i in range({times(width, lanes)}):")
        for line in body:
            self.source.line(f"    {line}")

    def comment(self, op: Op) -> None:
        """What comes next."""
        self.source.comment(f"{name(op.out)} = {format_structure(op)}")

    def numbers_of(self, op: Unary) -> list[str]:
        """Its numbers, for a loop to come: read before it, or it would not become vector code."""
        if chooses_code(op):
            return [f"Real({float(number)!r})" for number in op.constants]
        names = []
        for place in range(len(op.constants)):
            offset = self.constants.offsets[op.out] + place
            names.append(f"constant_{offset}")
            self.source.line(f"{names[-1]} = {self._numbers()}[{offset}]")
        return names

    def _expression(self, op: Op) -> str:
        match op:
            case Unary(x=x, fn=fn):
                function, arguments = UNARY[fn], [scalar(x), *self.numbers_of(op)]
                return f"Real({function.module}.{function.value.__name__}({', '.join(arguments)}))"
            case Binary(a=a, b=b, fn=fn):
                function = BINARY[fn]
                return f"Real({function.module}.{function.value.__name__}({scalar(a)}, {scalar(b)}))"
            case Select(condition=condition, a=a, b=b):
                return f"choose({scalar(condition)} != 0.0, {scalar(a)}, {scalar(b)})"
        raise TypeError(f"an operation that is not element-wise: {op}")

    def operation(self, op: Op, lanes: str) -> None:
        """Any other operation."""
        self.comment(op)
        call, out = self.source.call, self.result(op.out, lanes)
        match op:
            case Dense(x=x, weight=weight, bias=bias, repeats=repeats):
                features_out, features_in = self.program.parameter_shapes[weight]
                address = 0 if bias is None else f"parameters[{bias}]"
                sizes = (lanes, features_in, features_out, repeats)
                call("dense", self.operand(x, lanes), self.parameter(weight), address, out, *sizes)
            case DenseDynamic(x=x, weight=weight):
                pointers = (self.operand(x, lanes), self.operand(weight, lanes), out)
                call("dense_dynamic", *pointers, *self.dynamic_sizes(op, lanes))
            case Gather():
                self._gather(op, lanes)
            case Unary(x=x, fn=fn):
                call(fn, self.operand(x, lanes), out, times(self.width(x), lanes))
            case SegmentSum(x=x, segment=segment):
                call("clear", out, times(self.width(op.out), lanes))
                order, places = self.segment_tables(op)
                call("scatter_add", self.operand(x, lanes), out, order, places, len(segment), lanes)
            case Bucketize(x=x, knots=knots, parameter=parameter, groups=groups, right=right):
                place, shared = self.place_of_numbers(knots, parameter, lanes)
                kernel = "bucketize_shared" if shared else "bucketize"
                count = self.size_of(knots, parameter) // groups
                numbers = self.width(x), groups, count, int(right)
                call(kernel, self.operand(x, lanes), place, out, *numbers, lanes)
            case Lookup(index=index, table=table, parameter=parameter):
                place, shared = self.place_of_numbers(table, parameter, lanes)
                kernel = "lookup_shared" if shared else "lookup"
                call(kernel, self.operand(index, lanes), place, out, *self.lookup_sizes(op, lanes))
            case _:
                raise TypeError(f"an operation of another kind: {op}")

    def place_of_numbers(self, value: int | None, parameter: int | None, lanes: str) -> tuple[str, bool]:
        """The pointer to knots or a table, and whether that has one number for all lanes."""
        if value is None:
            assert parameter is not None
            return self.parameter(parameter), True
        shared = lanes == "1" or self.is_uniform(value)
        return self.uniform_place(value) if shared else self.place(value), shared

    def size_of(self, value: int | None, parameter: int | None) -> int:
        """How many numbers knots or a table are."""
        if value is not None:
            return self.width(value)
        assert parameter is not None
        return math.prod(self.program.parameter_shapes[parameter])

    def lookup_sizes(self, op: Lookup, lanes: str) -> tuple[object, ...]:
        """Starts, their number, that of a row, the stride, the rows of the table, and lanes."""
        starts = self.source.table(f"starts_{op.out}", op.starts)
        count = len(op.starts)
        return (starts, count, count // self.width(op.index), op.stride, op.count, lanes)

    def dynamic_sizes(self, op: DenseDynamic, lanes: str) -> tuple[object, ...]:
        """Lanes, features in and out, blocks and repeats."""
        groups = op.blocks * op.repeats
        features = self.width(op.x) // groups, self.width(op.out) // groups
        return (lanes, *features, op.blocks, op.repeats)

    def segment_tables(self, op: SegmentSum) -> tuple[str, str]:
        """The rows in order, and where each belongs."""
        order = self.source.table(f"order_{op.out}", range(len(op.segment)))
        return order, self.source.table(f"segment_{op.out}", op.segment)

    def _gather(self, op: Gather, lanes: str) -> None:
        out, call = self.result(op.out, lanes), self.source.call
        for value, pieces in gathered(self.program, op).items():
            if op.out == self.program.output and value in self.rows_of_out:
                continue
            shared = self.is_uniform(value) and lanes != "1"
            x = self.uniform_place(value) if shared or lanes == "1" else self.place(value)
            if len(pieces) > PIECES:
                source, place = self.gather_tables(op, value, pieces)
                count = sum(size for _, _, size in pieces)
                call("gather_shared" if shared else "gather", x, out, source, place, count, lanes)
                continue
            for begin, to, size in pieces:
                row = moved(out, to, lanes)
                if shared:
                    call("to_lanes", moved(x, begin, "1"), row, size, lanes)
                else:
                    call("copy", moved(x, begin, lanes), row, times(size, lanes))

    def gather_tables(
        self, op: Gather, value: int, pieces: Sequence[tuple[int, int, int]]
    ) -> tuple[str, str]:
        """Which rows of a value become which of the result."""
        sources = [begin + k for begin, _, size in pieces for k in range(size)]
        places = [to + k for _, to, size in pieces for k in range(size)]
        names = f"rows_{op.out}_of_{name(value)}", f"rows_{op.out}_from_{name(value)}"
        return self.source.table(names[0], sources), self.source.table(names[1], places)


class LaneEvaluation(Evaluation):
    """Evaluates operations on values of trajectories, in scratch memory.

    Attributes:
        memory: Rows of it.
        begin: The first number that rows may be at, behind those that are not rows.
        parts: Values that are rows of others.
    """

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        super().__init__(program, dtype, like="y")
        self.memory = Memory()
        self.begin = 0
        self.regions: dict[int, Region] = {}
        self.parts = slices(program)

    def place(self, key: int) -> str:
        if key in (Y, C):
            return self.name(key)
        if key in self.parts:
            root, row = self.parts[key]
            return self.source.pointer(self.name(key), moved(self.place(root), row, "lanes"))
        return self.source.pointer(self.name(key), self.at(self.regions[key]))

    def at(self, region: Region) -> str:
        """The pointer to rows of the scratch memory."""
        begin = f"{self.begin} + " if self.begin else ""
        return f"part(work, {begin}{region.offset} * lanes)"

    def evaluate(self, ops: Sequence[Op], kept: Collection[int]) -> None:
        """Evaluates operations; the values that are kept have places of their own until the end."""
        groups = grouped(self.program, ops, self.parts)
        last = {
            key: index
            for index, group in enumerate(groups)
            for key in (*group.reads(self.program, self.parts), *group.writes())
        }
        for index, group in enumerate(groups):
            ending = [
                key for key, at in last.items() if at == index and key in self.regions and key not in kept
            ]
            stored = [key for key in group.writes() if last[key] > index or key in kept]
            self._place(group, stored, ending)
            self._do(group, stored)

    def _place(self, group: Group, stored: Sequence[int], ending: list[int]) -> None:
        """A loop over elements may write in the place of what it reads last; a call may not."""
        places = self._fixed()
        for key in stored:
            if key in places:
                continue
            same = [other for other in ending if self.width(other) == self.width(key)]
            if same and group.elementwise:
                ending.remove(same[0])
                self.regions[key] = self.regions[same[0]]
            else:
                self.regions[key] = self.memory.take(self.width(key))
        for key in ending:
            self.memory.give_back(self.regions[key])

    def _fixed(self) -> Collection[int]:
        """Values that have places elsewhere."""
        return ()

    def _do(self, group: Group, stored: Collection[int]) -> None:
        if group.copies is not None:
            self.copy_to_lanes(group.copies)
        elif group.elementwise:
            self.loop(group.ops, stored, "lanes")
        elif stored:
            self.operation(group.ops[0], "lanes")

    def copy_to_lanes(self, key: int) -> None:
        """Copies a uniform value."""
        self.source.comment(f"{self.name(key)} = {name(~key)}, for each trajectory")
        self.source.call("to_lanes", self.uniform_place(~key), self.place(key), self.width(key), "lanes")


class FieldText(LaneEvaluation):
    """The text of a field."""

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        super().__init__(program, dtype)
        output = program.output
        self.rows_of_out = {v: row for v, row in rows_of_output(program).items() if v not in self.parts}
        self.evaluate(needed(program, {output}), {output})
        size = times(self.width(output), "lanes")
        if self.is_uniform(output):
            self.source.comment(f"out = {name(output)}")
            self.source.call("to_lanes", self.uniform_place(output), "out", self.width(output), "lanes")
        elif output in (Y, C):
            self.source.comment(f"out = {name(output)}")
            self.source.call("copy", name(output), "out", size)

    def place(self, key: int) -> str:
        if key in self.rows_of_out:
            return self.source.pointer(self.name(key), moved("out", self.rows_of_out[key], "lanes"))
        return "out" if key == self.program.output and key >= INPUTS else super().place(key)

    def _fixed(self) -> Collection[int]:
        return {self.program.output, *self.rows_of_out}

    def text(self) -> Text:
        """The function ``field``."""
        return self.source.text("field", FIELD_ARGUMENTS)


class SharedText(Evaluation):
    """The text of what all trajectories share."""

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        super().__init__(program, dtype, like="uniform")
        self.source.line("uniform[0] = t")
        shared = [op for op in program.ops[: program.shared] if not isinstance(op, (Parameter, Constant))]
        for op in shared:
            if isinstance(op, (Binary, Select)) or (isinstance(op, Unary) and op.fn not in ("sin", "cos")):
                self.loop([op], {op.out}, "1")
            else:
                self.operation(op, "1")

    def text(self) -> Text:
        """The function ``shared``."""
        return self.source.text("shared", SHARED_ARGUMENTS)


def scalar(value: int) -> str:
    """How a loop names a number of a value."""
    return f"{name(value)}_i"


def times(count: int, lanes: str) -> str:
    """A product, as it is written."""
    return str(count) if lanes == "1" else f"{count} * {lanes}"


def moved(pointer: str, row: int, lanes: str) -> str:
    """The pointer to a row."""
    return pointer if row == 0 else f"part({pointer}, {times(row, lanes)})"
