"""The text of a field's vjp over a tile, beside that of its evaluation."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

import torch

from flashode.engines.cuda.barriers import ELEMENTS, Access, Barriers
from flashode.engines.cuda.field_text import FieldText, literal
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.generated.memory import Region
from flashode.engines.generated.reverse import ReverseStep, reverse
from flashode.program import (
    Binary,
    C,
    Dense,
    DenseDynamic,
    Gather,
    Lookup,
    Parameter,
    Program,
    SegmentSum,
    Select,
    T,
    Unary,
    Y,
)
from flashode.program.printing import format_op, name

# Accumulators in global memory have regions of their own, beyond all shared memory.
_OUTSIDE = 1 << 40


class VjpText(FieldText):
    """A Program placed in shared memory with the gradients in its values, and its text."""

    def __init__(
        self,
        program: Program,
        segments: Sequence[int],
        dtype: torch.dtype,
        mapping: Mapping,
        sources: Collection[int],
        parameters: Collection[int],
    ) -> None:
        """Places the values and gradients.

        Args:
            program: The field.
            segments: Rows of each segment of the state.
            dtype: Of the state.
            mapping: How the batch is spread.
            sources: Which of the field's inputs gradients are wanted in.
            parameters: Which of its parameters.
        """
        super().__init__(program, segments, dtype, mapping, keep=True)
        self._reverse = reverse(program, sources, parameters)
        self._gradients: dict[int, Region] = {}
        self._accumulators: dict[int, int] = {}
        self.accumulated = 0
        for parameter in sorted(parameters):
            self._accumulators[parameter] = self.accumulated
            self.accumulated += math.prod(program.parameter_shapes[parameter])
        self._accumulator_region = (
            self.memory.take(self.accumulated)
            if mapping.accumulators_in_shared
            else Region(_OUTSIDE, self.accumulated)
        )
        self._types: list[str] = []
        self._vjp = list(self._reversed(sources))

    def reverse_struct(self, *more: str) -> str:
        """The struct with all of its functions; ``more`` stands at its end."""
        in_shared = self.mapping.accumulators_in_shared
        constants = [
            "",
            f"    static constexpr int accumulated = {self.accumulated};",
            f"    static constexpr bool accumulators_in_shared = {str(in_shared).lower()};",
            f"    using Accumulators = {self._accumulator_type(0)};",
            *[f"    {line}" for line in self._types],
            "",
            "    FLASHODE_ONCE static void vjp([[maybe_unused]] Real* accumulators) {",
            *[f"        {line}" for line in self._vjp],
            "    }",
            *more,
        ]
        return self.struct(*constants)

    # Gradients

    def _gradient(self, value: int) -> str:
        """The name of the type of the gradient in a value."""
        return f"Grad{self.type_of(value)}"

    def _place_gradient(self, value: int) -> None:
        if value not in self._gradients:
            self._set_gradient(value, self.memory.take(self.size(value)))

    def _set_gradient(self, value: int, region: Region) -> None:
        self._gradients[value] = region
        self._types.append(f"using {self._gradient(value)} = {self.declared(value, region)};")

    def _accumulator_type(self, offset: int) -> str:
        if self.mapping.accumulators_in_shared:
            return f"SharedAccumulator<Real, {self._accumulator_region.offset + offset}>"
        return "GlobalAccumulator<Real>"

    def _accumulator(self, parameter: int) -> str:
        offset = self._accumulators[parameter]
        pointer = "" if self.mapping.accumulators_in_shared else f"accumulators + {offset}"
        return f"{self._accumulator_type(offset)}{{{pointer}}}"

    def _accumulator_access(self, parameter: int, share: str | None) -> Access:
        offset = self._accumulator_region.offset + self._accumulators[parameter]
        size = math.prod(self.program.parameter_shapes[parameter])
        return Access(Region(offset, size), True, share)

    # The vjp

    def _reversed(self, sources: Collection[int]) -> Iterator[str]:
        program, threads = self.program, self.mapping.threads
        inputs = [value for value in (T, Y, C) if program.widths[value] and (value in sources or value == Y)]
        for value in inputs:
            self._place_gradient(value)
        output = program.output
        copied = self._copied_output(output)
        barriers = Barriers()
        yield "sync_block();"
        if copied is not None and output in self._reverse.reached:
            self._place_gradient(output)
            share = self.share(output)
            reads = Access(copied, False, None if self.is_uniform(output) else share)
            barriers.needed([reads, Access(self._gradients[output], True, share)])
            yield f"copy_vjp<{threads}, GradOutput, {self._gradient(output)}, true>();"
        for step in self._reverse.steps:
            yield f"// from the gradient in {name(step.op.out)} = {format_op(step.op)}"
            yield from self._step(step, barriers)
            if step.op.out in self._gradients and not self._passed_on(step):
                self.memory.give_back(self._gradients[step.op.out])
        for value in inputs:
            if value not in self._reverse.reached:
                accesses = [Access(self._gradients[value], True, self.share(value))]
                if barriers.needed(accesses):
                    yield "sync_block();"
                yield f"clear<{threads}, {self._gradient(value)}>();"
        yield "sync_block();"
        self._types.append(f"using GradInput = {self._gradient(Y)};")
        for value, what in ((T, "GradTime"), (C, "GradContext")):
            self._types.append(f"using {what} = {self._gradient(value if value in inputs else Y)};")
        self._types.append(f"static constexpr bool gives_time = {str(T in sources).lower()};")

    def _copied_output(self, output: int) -> Region | None:
        """Where the caller puts the gradient in the output, if that is a copy of an input or of a uniform
        value; else it is the gradient in the value itself.
        """
        width = self.program.widths[output]
        if output in (T, Y, C) or self.is_uniform(output) or output not in self._reverse.reached:
            region = self.memory.take(width * self.stride)
            self._types.append(f"using GradOutput = {self.rows(region, width)};")
            return region
        self._place_gradient(output)
        self._types.append(f"using GradOutput = {self._gradient(output)};")
        return None

    def _passed_on(self, step: ReverseStep) -> bool:
        """Whether the memory of the gradient in its result has become that of another."""
        region = self._gradients[step.op.out]
        return any(self._gradients[value] == region for value, _ in step.gradients)

    def _step(self, step: ReverseStep, barriers: Barriers) -> Iterator[str]:
        op = step.op
        grad = self._gradients[op.out]
        if isinstance(op, Unary) and step.gradients[0][1] and self.size(op.x) == self.size(op.out):
            ((value, _),) = step.gradients
            if value not in self._gradients and self.is_uniform(value) == self.is_uniform(op.out):
                self._set_gradient(value, grad)  # in place
        for value, _ in step.gradients:
            self._place_gradient(value)
        for parameter in step.parameters:
            call, access = self._parameter_call(step, parameter)
            # Lanes are summed.
            if barriers.needed([access, Access(grad, False)]):
                yield "sync_block();"
            yield call
        for position, (value, assign) in enumerate(step.gradients):
            if barriers.needed(self._gradient_accesses(step, grad, value)):
                yield "sync_block();"
            yield self._gradient_call(step, position, value, assign)

    def _gradient_accesses(self, step: ReverseStep, grad: Region, value: int) -> list[Access]:
        op = step.op
        beside = self.is_uniform(value) != self.is_uniform(op.out)
        by_elements = isinstance(op, (Unary, Binary, Select)) and not beside
        writes = None if isinstance(op, (Dense, Lookup)) else self.share(value)
        return [
            Access(grad, False, self.share(op.out) if by_elements else None),
            Access(self._gradients[value], True, writes),
        ]

    def _parameter_call(self, step: ReverseStep, parameter: int) -> tuple[str, Access]:
        op, threads = step.op, self.mapping.threads
        grad, accumulator = self._gradient(op.out), self._accumulator(parameter)
        match op:
            case Parameter():
                call = f"parameter_vjp<{threads}, {grad}>({accumulator});"
                return call, self._accumulator_access(parameter, ELEMENTS)
            case Dense(x=x, weight=weight, repeats=repeats):
                features_out, features_in = self.program.parameter_shapes[weight]
                if parameter == weight:
                    sizes = f"{repeats}, {features_in}, {features_out}"
                    call = f"dense_vjp_weight<{threads}, {self.type_of(x)}, {grad}, {sizes}>({accumulator});"
                    return call, self._accumulator_access(parameter, "products")
                call = f"dense_vjp_bias<{threads}, {grad}, {repeats}, {features_out}>({accumulator});"
                return call, self._accumulator_access(parameter, ELEMENTS)
            case Lookup(index=index):
                types, tables = self._lookup_arguments(op)
                read = f"{self.type_of(index)}, {grad}"
                call = f"lookup_vjp_parameter<{threads}, {read}, {types}>({accumulator}, {tables});"
                return call, self._accumulator_access(parameter, None)
        raise TypeError(f"an operation that reads no parameter: {op}")

    def _gradient_call(self, step: ReverseStep, position: int, value: int, assign: bool) -> str:
        op, threads, to = step.op, self.mapping.threads, self._gradient(value)
        grad, out, assigns = self._gradient(op.out), self.type_of(op.out), str(assign).lower()
        match op:
            case Dense(weight=weight, repeats=repeats):
                types = f"{grad}, {to}, {repeats}, {assigns}"
                return f"dense_vjp_input<{threads}, {types}>({self.weight_type(weight)}{{}});"
            case DenseDynamic(x=x, weight=weight, blocks=blocks, repeats=repeats):
                sizes = f"{blocks}, {repeats}, {assigns}"
                if position == 0 and value == x:
                    types = f"{self.type_of(x)}, {self.type_of(weight)}, {grad}, {to}"
                    return f"dense_dynamic_vjp_input<{threads}, {types}, {sizes}>();"
                return f"dense_dynamic_vjp_weight<{threads}, {self.type_of(x)}, {grad}, {to}, {sizes}>();"
            case Unary(x=x, fn=fn, constants=constants):
                argument = self.type_of(op.out if x in self.merged else x)
                numbers = ", ".join(map(literal, constants))
                types = f"{argument}, {out}, {grad}, {to}, {assigns}"
                return f"unary_vjp<{threads}, UnaryFn::{fn}, {types}>({numbers});"
            case Binary(a=a, b=b, fn=fn):
                first = str(value == a and position == 0).lower()
                types = f"{first}, {self.type_of(a)}, {self.type_of(b)}, {out}, {grad}, {to}, {assigns}"
                return f"binary_vjp<{threads}, BinaryFn::{fn}, {types}>();"
            case Select(condition=condition, a=a):
                first = str(value == a and position == 0).lower()
                return (
                    f"select_vjp<{threads}, {first}, {self.type_of(condition)}, {grad}, {to}, {assigns}>();"
                )
            case SegmentSum(segment=segment):
                table = self.table(f"segment_{op.out}", "int", map(str, segment))
                return f"segment_sum_vjp<{threads}, {grad}, {to}, {assigns}>({table});"
            case Lookup(index=index):
                types, tables = self._lookup_arguments(op)
                read = f"{self.type_of(index)}, {grad}, {to}"
                return f"lookup_vjp<{threads}, {read}, {types}, {assigns}>({tables});"
            case Gather(inputs=inputs, index=index):
                return self._gather_vjp(op.out, inputs, index, position, value, assigns)
        raise TypeError(f"an operation of another kind: {op}")

    def _lookup_arguments(self, op: Lookup) -> tuple[str, str]:
        """Sizes and tables: what may be added to the same number of the table is of one class."""
        classes: dict[int, list[int]] = {}
        for e, start in enumerate(op.starts):
            classes.setdefault(start % op.stride, []).append(e)
        begins = [0, *accumulate(map(len, classes.values()))]
        tables = {
            "starts": op.starts,
            "begins": begins,
            "order": [e for numbers in classes.values() for e in numbers],
        }
        names = [self.table(f"vjp_{key}_{op.out}", "int", map(str, table)) for key, table in tables.items()]
        return f"{op.stride}, {op.count}, {len(classes)}", ", ".join(names)

    def _gather_vjp(
        self, out: int, inputs: Sequence[int], index: Sequence[int], position: int, value: int, assigns: str
    ) -> str:
        """Of a value that is among the inputs several times every occurrence has its turn."""
        widths = self.program.widths
        occurrence = [place for place, other in enumerate(inputs) if other == value][
            self._occurrence(out, position)
        ]
        begin = sum(widths[other] for other in inputs[:occurrence])
        readers: list[list[int]] = [[] for _ in range(widths[value])]
        for row, source in enumerate(index):
            if begin <= source < begin + widths[value]:
                readers[source - begin].append(row)
        starts = [0]
        for rows in readers:
            starts.append(starts[-1] + len(rows))
        of_starts = self.table(f"starts_{out}_{occurrence}", "int", map(str, starts))
        flat = [str(row) for rows in readers for row in rows] or ["0"]
        of_rows = self.table(f"readers_{out}_{occurrence}", "int", flat)
        types = f"{self._gradient(out)}, {self._gradient(value)}"
        return f"gather_vjp<{self.mapping.threads}, {types}, {assigns}>({of_starts}, {of_rows});"

    def _occurrence(self, out: int, position: int) -> int:
        step = next(step for step in self._reverse.steps if step.op.out == out)
        value = step.gradients[position][0]
        return sum(other == value for other, _ in step.gradients[:position])
