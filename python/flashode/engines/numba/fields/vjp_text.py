"""The text of a field's vjp over a tile: its values again, as far as they are read, and the gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import torch

from flashode.engines.generated.memory import Region
from flashode.engines.generated.reverse import ReverseStep, reverse
from flashode.engines.numba.fields.binary import BINARY
from flashode.engines.numba.fields.constants import format_structure
from flashode.engines.numba.fields.field_text import (
    PIECES,
    LaneEvaluation,
    moved,
    scalar,
    times,
)
from flashode.engines.numba.fields.placement import (
    MOST_TOGETHER,
    calls,
    gathered,
    is_elementwise,
    needed,
    read_by_vjp,
    rows_of_output,
    with_lanes,
)
from flashode.engines.numba.fields.source import Text
from flashode.engines.numba.fields.unary import UNARY
from flashode.program import (
    INPUTS,
    Binary,
    C,
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

VJP_ARGUMENTS = "t, y, c, parameters, uniform, work, cotangent, grad_y, grad_c, grad_parameters, lanes"


class VjpText(LaneEvaluation):
    """The text of a vjp.

    Args:
        program: The field.
        dtype: Of the state.
        sources: Which of the field's inputs gradients are wanted in.
        parameters: Which of its parameters.
    """

    def __init__(
        self,
        program: Program,
        dtype: torch.dtype,
        sources: Collection[int],
        parameters: Collection[int],
    ) -> None:
        super().__init__(program, dtype)
        self._sources = set(sources) | {Y}
        self._parameters = set(parameters)
        backward = reverse(program, self._sources, self._parameters)
        steps = backward.steps
        # Their gradients are rows of the caller's: nobody else reads them.
        readers = Counter(value for op in program.ops for value in operands(op))
        self._rows_of_cotangent = {v: row for v, row in rows_of_output(program).items() if readers[v] == 1}
        of_lanes = [step for step in steps if not self.is_uniform(step.op.out)]
        shared = [step for step in steps if self.is_uniform(step.op.out)]
        # Gradients in values that trajectories share come first in the scratch memory.
        self._shared_gradients: dict[int, int] = {}
        for value in sorted(value for value in backward.reached if self.is_uniform(value)):
            self._shared_gradients[value] = self.begin
            self.begin += program.widths[value]
        # Values, with and without lanes, that have a gradient; of c it is added to what the caller has.
        self._reached = {C} & self._sources
        self._gradients: dict[int, Region] = {}
        kept = {
            with_lanes(program, self.parts.get(value, (value, 0))[0])
            for step in of_lanes
            for value in read_by_vjp(step.op, [v for v, _ in step.gradients], self._parameters)
        }
        self.evaluate(needed(program, {~key if key < 0 else key for key in kept}), kept)
        self._copy_missing(kept)
        self._from_output(backward.reached)
        for group in self._grouped(of_lanes):
            self._reverse(group, "lanes")
        for key in sorted(key for key in self._reached if key < 0):
            self._sum_lanes(key)
        for step in shared:
            self._reverse([step], "1")
        self._finish()

    def text(self) -> Text:
        """The function ``vjp``."""
        return self.source.text("vjp", VJP_ARGUMENTS)

    # Places

    def gradient(self, key: int) -> str:
        """The pointer to the gradient in a value."""
        if key == self.program.output and key >= INPUTS and not self.is_uniform(key):
            return "cotangent"
        if key in self._rows_of_cotangent:
            return self.source.pointer(
                f"grad_{name(key)}", moved("cotangent", self._rows_of_cotangent[key], "lanes")
            )
        if key in (Y, C):
            return f"grad_{name(key)}"
        if key >= 0 and self.is_uniform(key):
            return self.source.pointer(f"grad_{name(key)}", f"part(work, {self._shared_gradients[key]})")
        if key not in self._gradients:
            self._gradients[key] = self.memory.take(self.width(key))
        return self.source.pointer(f"grad_{self.name(key)}", self.at(self._gradients[key]))

    def _accumulator(self, parameter: int) -> str:
        return self.source.pointer(f"grad_p{parameter}", f"numbers_at(grad_parameters[{parameter}], 0.0)")

    def _key(self, value: int, lanes: str) -> int:
        return value if lanes == "1" else with_lanes(self.program, value)

    def _done(self, key: int) -> None:
        """Nobody reads the gradient any more."""
        region = self._gradients.pop(key, None)
        if region is not None:
            self.memory.give_back(region)

    def _first(self, key: int) -> bool:
        """Whether a value gets its first gradient; from now on it has one."""
        first = key not in self._reached
        self._reached.add(key)
        return first

    # The parts

    def _grouped(self, steps: Sequence[ReverseStep]) -> list[list[ReverseStep]]:
        """Steps in groups that one loop does."""
        groups: list[list[ReverseStep]] = []
        for step in steps:
            if groups and len(groups[-1]) < MOST_TOGETHER and self._join(groups[-1][-1].op, step.op):
                groups[-1].append(step)
            else:
                groups.append([step])
        return groups

    def _join(self, *ops: Op) -> bool:
        widths = {self.width(op.out) for op in ops}
        return len(widths) == 1 and all(
            self._gives_rows(op) if isinstance(op, Gather) else is_elementwise(op) and not calls(op, vjp=True)
            for op in ops
        )

    def _gives_rows(self, op: Gather) -> bool:
        """Whether a loop can add the gradient in a slice to rows of another, wider one."""
        return op.out in self.parts and all(self.width(value) > self.width(op.out) for value in op.inputs)

    def _copy_missing(self, kept: Collection[int]) -> None:
        """Copies with lanes that no operation needs, but the gradients."""
        for key in sorted(key for key in kept if key < 0 and key not in self.regions):
            self.regions[key] = self.memory.take(self.width(key))
            self.copy_to_lanes(key)

    def _from_output(self, reached: Collection[int]) -> None:
        """The gradient in what the output is a copy of; that of an operation's result is the caller's."""
        output = self.program.output
        call = self.source.call
        if output not in reached or not (output < INPUTS or self.is_uniform(output)):
            return
        self.source.comment(f"from the gradient in the output, which is {name(output)}")
        if self.is_uniform(output):
            self._sum_lanes_of("cotangent", output)
        else:
            kernel = "copy" if self._first(output) else "add"
            call(kernel, "cotangent", self.gradient(output), times(self.width(output), "lanes"))

    def _sum_lanes(self, key: int) -> None:
        self.source.comment(f"from the gradients in {name(~key)} of all trajectories")
        self._sum_lanes_of(self.gradient(key), ~key)
        self._done(key)

    def _sum_lanes_of(self, gradient: str, value: int) -> None:
        self._cleared(value, "1")
        self.source.call("add_lanes", gradient, self.gradient(value), self.width(value), "lanes")

    def _cleared(self, key: int, lanes: str) -> str:
        """The gradient in a value, to be added to."""
        gradient = self.gradient(key)
        if self._first(key):
            self.source.call("clear", gradient, times(self.width(key), lanes))
        return gradient

    def _finish(self) -> None:
        self._cleared(Y, "lanes")
        given = T in self._sources and T in self._reached
        self.source.returns(f"np.float64({self.gradient(T)}[0])" if given else "0.0")

    def _reverse(self, steps: Sequence[ReverseStep], lanes: str) -> None:
        for step in steps:
            self.source.comment(f"from the gradient in {name(step.op.out)} = {format_structure(step.op)}")
        if len(steps) > 1 or isinstance(steps[0].op, (Unary, Binary, Select)):
            self._loop(steps, lanes)
        else:
            self._call(steps[0], lanes)
        for step in steps:
            self._done(step.op.out)

    # Loops over elements

    def _loop(self, steps: Sequence[ReverseStep], lanes: str) -> None:
        head = self._slopes(steps[0].op, lanes)
        body: list[str] = []
        known: dict[int, None] = {}
        for step in steps:
            body += self._contributions(step, lanes, known)
        results = [value for value in known if value not in {step.op.out for step in steps}]
        for value in results:
            self._take_over(self._key(value, lanes), [step.op.out for step in steps], lanes)
            body.append(f"{self.gradient(self._key(value, lanes))}[i] = {_scalar(value)}")
        read = {value for step in steps for value in read_by_vjp(step.op, (), ())}
        if head is None:
            body[:0] = [f"{scalar(value)} = {self.operand(value, lanes)}[i]" for value in sorted(read)]
        self.over_elements(self.width(steps[0].op.out), lanes, body)
        if head is not None:
            self.memory.give_back(head)

    def _slopes(self, op: Op, lanes: str) -> Region | None:
        """Those of sin and cos, which are kernels."""
        if not isinstance(op, Unary) or is_elementwise(op):
            return None
        region = self.memory.take(self.width(op.x))
        slopes = self.source.pointer(f"slopes_{op.out}", self.at(region))
        other = {"sin": "cos", "cos": "sin"}[op.fn]
        self.source.call(other, self.operand(op.x, lanes), slopes, times(self.width(op.x), lanes))
        return region

    def _contributions(self, step: ReverseStep, lanes: str, known: dict[int, None]) -> list[str]:
        """What a step adds to gradients that the loop has, which are ``known``, or now has."""
        op = step.op
        lines = []
        if op.out not in known:
            lines.append(f"{_scalar(op.out)} = {self.gradient(op.out)}[i]")
        if isinstance(op, Gather):
            return [*lines, self._given_to_rows(op, lanes)]
        wanted = {value for value, _ in step.gradients}
        parts = [(value, f"d{position}") for position, value in enumerate(operands(op)) if value in wanted]
        if isinstance(op, Select):
            condition = f"{scalar(op.condition)} != 0.0"
            zero, g = "Real(0.0)", _scalar(op.out)
            parts = [
                (value, expression)
                for value, expression in (
                    (op.a, f"choose({condition}, {g}, {zero})"),
                    (op.b, f"choose({condition}, {zero}, {g})"),
                )
                if value in wanted
            ]
        elif isinstance(op, Binary):
            names = [
                f"d{position}" if value in wanted else "_" for position, value in enumerate((op.a, op.b))
            ]
            lines.append(f"{', '.join(names)} = {self._vjp(op)}")
            parts = [(value, f"Real({expression})") for value, expression in parts]
        elif isinstance(op, Unary):
            parts = [(op.x, f"Real({self._vjp(op)})")]
        for value, expression in parts:
            key = self._key(value, lanes)
            first = self._first(key)
            if value in known:
                lines.append(f"{_scalar(value)} += {expression}")
            elif first:
                lines.append(f"{_scalar(value)} = {expression}")
            else:
                lines.append(f"{_scalar(value)} = {self.gradient(key)}[i] + {expression}")
            known[value] = None
        return lines

    def _given_to_rows(self, op: Gather, lanes: str) -> str:
        """Of a slice: it is added to the gradient in the rows that it is made of."""
        ((value, ((begin, _, _),)),) = gathered(self.program, op).items()
        rows = moved(self._cleared(self._key(value, lanes), lanes), begin, lanes)
        return f"{self.source.pointer(f'grad_rows_{op.out}', rows)}[i] += {_scalar(op.out)}"

    def _vjp(self, op: Unary | Binary) -> str:
        """A call; what it does not read is not there to be handed."""
        if not is_elementwise(op):
            return f"{'-' if op.fn == 'cos' else ''}slopes_{op.out}[i] * {_scalar(op.out)}"
        function = BINARY[op.fn] if isinstance(op, Binary) else UNARY[op.fn]
        values = (*operands(op), op.out)
        arguments = [scalar(v) if read else "0.0" for v, read in zip(values, function.reads, strict=True)]
        numbers = self.numbers_of(op) if isinstance(op, Unary) else []
        return (
            f"{function.module}.{function.vjp.__name__}({', '.join([_scalar(op.out), *arguments, *numbers])})"
        )

    def _take_over(self, key: int, ending: Sequence[int], lanes: str) -> None:
        """Lets a new gradient have the place of one that has been read, number by number."""
        if lanes == "1" or key in (Y, C) or key in self._gradients:
            return
        for other in ending:
            if other in self._gradients and self.width(other) == self.width(key):
                self._gradients[key] = self._gradients.pop(other)
                return

    # Calls

    def _call(self, step: ReverseStep, lanes: str) -> None:
        op, call, grad = step.op, self.source.call, self.gradient(step.op.out)
        wanted = {value for value, _ in step.gradients}
        match op:
            case Dense(x=x, weight=weight, bias=bias, repeats=repeats):
                features_out, features_in = self.program.parameter_shapes[weight]
                sizes = (lanes, features_in, features_out, repeats)
                if weight in step.parameters:
                    scratch = self.memory.take(features_in)
                    pointers = (self.operand(x, lanes), grad, self._accumulator(weight), self.at(scratch))
                    call("dense_vjp_weight", *pointers, *sizes)
                    self.memory.give_back(scratch)
                if bias is not None and bias in step.parameters:
                    call("add_to_doubles", grad, self._accumulator(bias), features_out, repeats, lanes)
                if wanted:
                    to, add = self._target(x, lanes)
                    call("dense_vjp_input", self.parameter(weight), grad, to, *sizes, add)
            case DenseDynamic(x=x, weight=weight):
                dynamic = self.dynamic_sizes(op, lanes)
                if x in wanted:
                    to, add = self._target(x, lanes)
                    call("dense_dynamic_vjp_input", self.operand(weight, lanes), grad, to, *dynamic, add)
                if weight in wanted:
                    to, add = self._target(weight, lanes)
                    call("dense_dynamic_vjp_weight", self.operand(x, lanes), grad, to, *dynamic, add)
            case Gather():
                self._gather_vjp(op, grad, wanted, lanes)
            case SegmentSum(x=x, segment=segment):
                order, places = self.segment_tables(op)
                to, add = self._target(x, lanes)
                call("scatter_add" if add else "gather", grad, to, places, order, len(segment), lanes)
            case Lookup(index=index, table=table, parameter=parameter):
                read = self.operand(index, lanes)
                if table is not None:
                    shared = lanes == "1" or self.is_uniform(table)
                    to = self._cleared(table, "1" if shared else lanes)
                    kernel = "lookup_vjp_shared" if shared else "lookup_vjp"
                    call(kernel, read, grad, to, *self.lookup_sizes(op, lanes))
                elif parameter in step.parameters:
                    to = self._accumulator(parameter)
                    call("lookup_vjp_parameter", read, grad, to, *self.lookup_sizes(op, lanes))
            case Parameter(parameter=parameter):
                call("add_to_doubles", grad, self._accumulator(parameter), self.width(op.out), 1, lanes)
            case _:
                raise TypeError(f"an operation that passes no gradient: {op}")

    def _target(self, value: int, lanes: str) -> tuple[str, int]:
        """The gradient in what an operation reads, and whether something is there to be added to."""
        key = self._key(value, lanes)
        gradient = self.gradient(key)
        return gradient, int(not self._first(key))

    def _gather_vjp(self, op: Gather, grad: str, wanted: Collection[int], lanes: str) -> None:
        call = self.source.call
        for value, pieces in gathered(self.program, op).items():
            if value not in wanted or (op.out == self.program.output and value in self._rows_of_cotangent):
                continue
            shared = self.is_uniform(value) and lanes != "1"
            own = "1" if shared else lanes
            to = self._cleared(value, own)
            if len(pieces) > PIECES:
                source, place = self.gather_tables(op, value, pieces)
                count = sum(size for _, _, size in pieces)
                kernel = "scatter_add_lanes" if shared else "scatter_add"
                call(kernel, grad, to, place, source, count, lanes)
                continue
            for begin, row, size in pieces:
                pointers = moved(grad, row, lanes), moved(to, begin, own)
                if shared:
                    call("add_lanes", *pointers, size, lanes)
                else:
                    call("add", *pointers, times(size, lanes))


def _scalar(value: int) -> str:
    """How a loop names a number of the gradient in a value."""
    return f"grad_{scalar(value)}"
