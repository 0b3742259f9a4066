"""The text of a field over a tile: which rows are where, and one call an operation."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import torch

from flashode import _flashode
from flashode.engines.cuda.barriers import ELEMENTS, ELEMENTS_APART, Access, Barriers
from flashode.engines.cuda.liveness import fusions, last_uses
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.generated.memory import Memory, Region, aligned
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
from flashode.program.printing import format_op, name

_ADDRESS_BYTES = 8
# Numbers that a thread loads at once begin at a multiple of this.
_ALIGNMENT = 4
# How tables are written, for those who read the text.
_TABLE = textwrap.TextWrapper(100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


class FieldText:
    """A Program placed in shared memory, and its text."""

    def __init__(
        self,
        program: Program,
        segments: Sequence[int],
        dtype: torch.dtype,
        mapping: Mapping,
        *,
        keep: bool = False,
        prefix: str = "",
        begin: int | None = None,
    ) -> None:
        """Places the values.

        Args:
            program: The field.
            segments: Rows of each segment of the state.
            dtype: Of the state.
            mapping: How the batch is spread.
            keep: Whether every value is to be kept until the next evaluation, for a vjp.
            prefix: Of the names of its tables and its struct.
            begin: The first number of shared memory that is free; None where nothing else is there.
        """
        self.prefix = prefix
        self.program = program
        self.segments = tuple(segments)
        self.dtype = dtype
        self.mapping = mapping
        self.keep = keep
        # Rows that threads side by side read at the same lane are to lie in different banks.
        self.stride = mapping.lanes + (_ALIGNMENT if keep and mapping.lanes >= _ALIGNMENT else 0)
        self.regions: dict[int, Region] = {}
        self.weights: dict[int, Region] = {}
        self.biases: dict[int, Region] = {}
        # Shared memory begins with what sums over threads need.
        own_begin = _flashode.cuda.REDUCTION_BYTES // dtype.itemsize
        self.memory = Memory(own_begin if begin is None else begin, _ALIGNMENT)
        self.fused = dict(fusions(program, keep))
        self.merged = {inner.out for inner in self.fused.values()}
        self._place_parameters()
        self.tables: list[str] = []
        self._numbers: dict[int, str] = {}
        self._body = self._evaluation()

    @property
    def elements(self) -> int:
        """Numbers in shared memory that it takes."""
        return self.memory.end

    @property
    def shared_bytes(self) -> int:
        """The same in bytes."""
        return self.elements * self.dtype.itemsize

    # Values

    def is_uniform(self, value: int) -> bool:
        """Whether a value is the same for all trajectories."""
        return value == T or INPUTS <= value < INPUTS + self.program.shared

    def type_of(self, value: int) -> str:
        """The name of a value's type."""
        return name(value).upper()

    def size(self, value: int) -> int:
        """Numbers that a value takes."""
        width = self.program.widths[value]
        return width if self.is_uniform(value) else width * self.stride

    def share(self, value: int) -> str:
        """How threads share a value, or a gradient in it, where they go through its elements."""
        apart = self.stride > self.mapping.lanes and not self.is_uniform(value)
        return ELEMENTS_APART if apart else ELEMENTS

    def _place(self, value: int) -> None:
        self.regions[value] = self.memory.take(self.size(value))

    def declared(self, value: int, region: Region) -> str:
        """The type of a value, or of a gradient in it, that is in a region."""
        width = self.program.widths[value]
        return (
            f"Uniform<Real, {region.offset}, {width}>" if self.is_uniform(value) else self.rows(region, width)
        )

    def rows(self, region: Region, width: int) -> str:
        """The type of rows with a number for each trajectory."""
        return f"Rows<Real, {region.offset}, {width}, {self.mapping.lanes}, {self.stride}>"

    # Parameters

    def _place_parameters(self) -> None:
        """The smallest first, until there is no more room: they are read as often as the largest."""
        shapes = self.program.parameter_shapes
        weights = sorted({op.weight for op in self.program.ops if isinstance(op, Dense)})
        biases = sorted({op.bias for op in self.program.ops if isinstance(op, Dense) and op.bias is not None})
        sizes = [(aligned(shapes[p][0], _ALIGNMENT) * shapes[p][1], p, self.weights) for p in weights]
        sizes += [(aligned(math.prod(shapes[p]), _ALIGNMENT), p, self.biases) for p in biases]
        left = self.mapping.shared_parameters
        for size, parameter, to in sorted(sizes, key=lambda entry: entry[:2]):
            if size > left:
                break
            left -= size
            to[parameter] = self.memory.take(size)
        outside = [p for p in weights if p not in self.weights] + [p for p in biases if p not in self.biases]
        # Tables, of which an evaluation reads a row, stay where they are.
        read = {op.parameter for op in self.program.ops if isinstance(op, (Bucketize, Lookup))}
        outside += sorted(p for p in read if p is not None and p not in outside)
        places = self.memory.take(len(outside) * _ADDRESS_BYTES // self.dtype.itemsize)
        first = places.offset * self.dtype.itemsize // _ADDRESS_BYTES
        self.outside = {parameter: first + i for i, parameter in enumerate(outside)}

    # Text

    def head(self, header: str) -> str:
        """The includes."""
        lines = [f"// {line}" for line in str(self.program).splitlines()]
        return "\n".join(
            [
                *lines,
                f'#include "cuda/{header}"',
                '#include "cuda/dense.hpp"',
                '#include "cuda/elementwise.hpp"',
                f'#include "cuda/{"tables_vjp" if self.keep else "tables"}.hpp"',
                "",
                "namespace {",
                "",
                "using namespace flashode::cuda;",
                "",
            ]
        )

    def struct(self, *more: str) -> str:
        """The tables, and the struct with its functions; ``more`` stands at its end."""
        program, mapping = self.program, self.mapping
        values = [
            f"    using {self.type_of(value)} = {self.declared(value, region)};"
            for value, region in sorted(self.regions.items())
        ]
        begins = ", ".join(map(str, accumulate(self.segments, initial=0)))
        lines = [
            *[line for table in self.tables for line in _TABLE.wrap(table)],
            f"struct {self.prefix}Field {{",
            f"    using Real = {'float' if self.dtype == torch.float32 else 'double'};",
            f"    static constexpr int width = {program.widths[Y]};",
            f"    static constexpr int context_width = {program.widths[C]};",
            f"    static constexpr int lanes = {mapping.lanes};",
            f"    static constexpr int threads = {mapping.threads};",
            f"    static constexpr int segments = {len(self.segments)};",
            "    FLASHODE_DEVICE static constexpr int segment_begin(int segment) {",
            f"        constexpr int begins[] = {{{begins}}};",
            "        return begins[segment];",
            "    }",
            f"    static constexpr int elements = {self.elements};",
            f"    static constexpr bool stages_in_shared = {str(mapping.stages_in_shared).lower()};",
            "",
            *values,
            f"    using Input = {self.type_of(Y)};",
            f"    using Output = {self._output};",
            f"    using Context = {self.type_of(C) if program.widths[C] else self.type_of(Y)};",
            "",
            "    FLASHODE_DEVICE static void prepare([[maybe_unused]] const void* const* parameters) {",
            *[f"        {line}" for line in self._preparation()],
            "    }",
            "",
            "    FLASHODE_ONCE static void evaluate(Real t) {",
            *[f"        {line}" for line in self._body],
            "    }",
            *more,
            "};",
        ]
        return "\n".join([*lines, ""])

    def _preparation(self) -> Iterator[str]:
        shapes, threads = self.program.parameter_shapes, self.mapping.threads
        for parameter in self.weights:
            yield f"{self.weight_type(parameter)}::prepare<{threads}>({self._pointer(parameter)});"
        for parameter in self.biases:
            count = math.prod(shapes[parameter])
            yield f"{self._bias(parameter)}::prepare<{threads}, {count}>({self._pointer(parameter)});"
        for parameter, place in self.outside.items():
            yield f"GlobalParameter<Real, {place}>::prepare(parameters[{parameter}]);"
        for op in self.program.ops:
            match op:
                case Parameter(out, parameter):
                    yield f"load_uniform<{threads}, {self.type_of(out)}>({self._pointer(parameter)});"
                case Constant(out):
                    yield f"load_uniform<{threads}, {self.type_of(out)}>({self._numbers[out]});"

    def _pointer(self, parameter: int) -> str:
        return f"global_memory<Real>(parameters[{parameter}])"

    def weight_type(self, parameter: int) -> str:
        """The type of a layer's weights."""
        features_out, features_in = self.program.parameter_shapes[parameter]
        region = self.weights.get(parameter)
        if region is None:
            return f"GlobalWeight<Real, {self.outside[parameter]}, {features_in}, {features_out}>"
        return f"SharedWeight<Real, {region.offset}, {features_in}, {features_out}>"

    def _bias(self, parameter: int | None) -> str:
        if parameter is None:
            return "NoBias<Real>"
        region = self.biases.get(parameter)
        if region is None:
            return f"GlobalBias<Real, {self.outside[parameter]}>"
        return f"SharedBias<Real, {region.offset}>"

    # The evaluation

    def _evaluation(self) -> list[str]:
        program = self.program
        for value in (T, Y, C):
            if program.widths[value]:
                self._place(value)
        for op in program.ops:
            if isinstance(op, (Parameter, Constant)):
                self._place(op.out)
            if isinstance(op, Constant):
                self._numbers[op.out] = self.table(f"numbers_{op.out}", "double", map(literal, op.values))
        lines = ["if (thread() == 0) T::at(0, 0) = t;", "sync_block();"]
        last = last_uses(program, self.fused)
        barriers = Barriers()
        for position, op in enumerate(program.ops):
            if isinstance(op, (Parameter, Constant)) or op.out in self.merged:
                continue
            inner = self.fused.get(op.out, op)
            self._place(op.out)
            lines.append(f"// {name(op.out)} = {self._said(op, inner)}")
            if barriers.needed(self._accesses(op, inner)):
                lines.append("sync_block();")
            lines.append(self._call(op, inner))
            if not self.keep:
                for value in {*operands(inner), op.out}:
                    if not self._stays(value) and last[value] <= position:
                        self.memory.give_back(self.regions[value])
        lines += self._finish(barriers)
        return lines

    def _stays(self, value: int) -> bool:
        """Whether a value is in place from one evaluation to the next."""
        return value < INPUTS or isinstance(self.program.ops[value - INPUTS], (Parameter, Constant))

    def _said(self, op: Op, inner: Op) -> str:
        return format_op(op) if inner is op else f"{format_op(op)}, {name(inner.out)} = {format_op(inner)}"

    def _finish(self, barriers: Barriers) -> list[str]:
        """The output as rows of its own: those who read it are not to be overtaken by the next evaluation."""
        output, program = self.program.output, self.program
        lines = []
        self._output = self.type_of(output)
        if output < INPUTS or self.is_uniform(output):
            region = self.memory.take(program.widths[output] * self.stride)
            self._output = self.rows(region, program.widths[output])
            if barriers.needed([Access(self.regions[output], False)]):
                lines.append("sync_block();")
            lines.append(f"rows_from<{self.mapping.threads}, {self.type_of(output)}, 0, {self._output}>();")
        return [*lines, "sync_block();"]

    def _accesses(self, op: Op, inner: Op) -> list[Access]:
        """What an operation does, with the one that has been merged into it."""
        products = isinstance(inner, Dense)
        moves = isinstance(inner, (Dense, DenseDynamic, Gather, SegmentSum, Bucketize, Lookup))
        accesses = [Access(self.regions[op.out], True, None if products else self.share(op.out))]
        for value in operands(inner):
            if not self.program.widths[value]:
                continue
            beside = self.is_uniform(value) != self.is_uniform(op.out)
            share = None if moves or beside else self.share(value)
            accesses.append(Access(self.regions[value], False, share))
        return accesses

    def _call(self, op: Op, inner: Op) -> str:
        threads, out = self.mapping.threads, self.type_of(op.out)
        types = [self.type_of(value) for value in operands(inner)]
        match inner:
            case Dense(weight=weight, bias=bias, repeats=repeats):
                after = "Itself{}" if inner is op else self._apply(op)
                arguments = [
                    f"{self.weight_type(weight)}{{}}",
                    f"{self._bias(bias)}{{}}",
                    after,
                ]
                return f"dense<{threads}, {types[0]}, {out}, {repeats}>({', '.join(arguments)});"
            case DenseDynamic(blocks=blocks, repeats=repeats):
                return f"dense_dynamic<{threads}, {types[0]}, {types[1]}, {out}, {blocks}, {repeats}>();"
            case Gather(inputs=inputs, index=index):
                return self._gather(op.out, inputs, index)
            case Unary(fn=fn, constants=constants):
                numbers = ", ".join(map(literal, constants))
                return f"unary<{threads}, UnaryFn::{fn}, {types[0]}, {out}>({numbers});"
            case Binary(fn=fn):
                return f"binary<{threads}, BinaryFn::{fn}, {types[0]}, {types[1]}, {out}>();"
            case Select():
                return f"select<{threads}, {', '.join(types)}, {out}>();"
            case SegmentSum(segment=segment):
                rows: list[list[int]] = [[] for _ in range(self.program.widths[op.out])]
                for row, to in enumerate(segment):
                    rows[to].append(row)
                starts = [0]
                for part in rows:
                    starts.append(starts[-1] + len(part))
                flat = [str(row) for part in rows for row in part]
                of_starts = self.table(f"starts_{op.out}", "int", map(str, starts))
                of_rows = self.table(f"rows_{op.out}", "int", flat)
                return f"segment_sum<{threads}, {types[0]}, {out}>({of_starts}, {of_rows});"
            case Bucketize(x=x, knots=knots, parameter=parameter, groups=groups, right=right):
                knots_type = self._table_type(knots, parameter)
                numbers = f"{groups}, {str(right).lower()}"
                return f"bucketize<{threads}, {self.type_of(x)}, {knots_type}, {out}, {numbers}>();"
            case Lookup(index=index, table=table, parameter=parameter, stride=stride, count=count):
                table_type = self._table_type(table, parameter)
                starts_name = self.table(f"starts_{op.out}", "int", map(str, inner.starts))
                types_and_sizes = f"{self.type_of(index)}, {table_type}, {out}, {stride}, {count}"
                return f"lookup<{threads}, {types_and_sizes}>({starts_name});"
        raise TypeError(f"an operation of another kind: {inner}")

    def _table_type(self, value: int | None, parameter: int | None) -> str:
        """The type of knots or a table."""
        if value is not None:
            return self.type_of(value)
        assert parameter is not None
        width = math.prod(self.program.parameter_shapes[parameter])
        return f"GlobalTable<Real, {self.outside[parameter]}, {width}>"

    def _apply(self, op: Op) -> str:
        assert isinstance(op, Unary)
        numbers = ", ".join(f"static_cast<Real>({literal(number)})" for number in op.constants)
        return f"Apply<UnaryFn::{op.fn}, Real>{{{{{numbers}}}}}"

    def _gather(self, out: int, inputs: Sequence[int], index: Sequence[int]) -> str:
        threads, widths = self.mapping.threads, self.program.widths
        rows = [(value, row) for value in inputs for row in range(widths[value])]
        sources = [rows[i] for i in index]
        value, begin = sources[0]
        if sources == [(value, begin + i) for i in range(len(sources))]:
            return f"rows_from<{threads}, {self.type_of(value)}, {begin}, {self.type_of(out)}>();"
        places = []
        for value, row in sources:
            stride = 1 if self.is_uniform(value) else self.stride
            places.append(2 * (self.regions[value].offset + row * stride) + (not self.is_uniform(value)))
        table = self.table(f"from_{out}", "int", map(str, places))
        return f"gather<{threads}, {self.type_of(out)}>({table});"

    def table(self, name: str, kind: str, entries: Iterable[str]) -> str:
        """The name of a table of numbers that are known when the kernel is compiled."""
        name = f"{self.prefix}{name}"
        self.tables.append(f"FLASHODE_TABLE {kind} {name}[] = {{{', '.join(entries)}}};")
        return name


def literal(number: float) -> str:
    """A number in C++, to the bit."""
    if math.isnan(number):
        return "flashode::numerics::FloatFormat<double>::nan"
    if math.isinf(number):
        return ("-" if number < 0 else "") + "flashode::numerics::FloatFormat<double>::infinity"
    return float(number).hex()
