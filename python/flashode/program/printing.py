"""A Program as text: one readable line an operation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flashode.program.functions import UNARY
from flashode.program.operations import Operations
from flashode.program.ops import (
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
    SegmentSum,
    Select,
    Unary,
)

_SHOWN = 8


def format_program(program: Operations) -> str:
    """The Program's inputs, operations and output, a line each."""
    shapes = [f"p{i}{list(shape)}" for i, shape in enumerate(program.parameter_shapes)]
    inputs = [f"{name(value)}[{program.widths[value]}]" for value in range(INPUTS) if program.widths[value]]
    head = f"program({', '.join([*inputs, *shapes])})"
    return "\n  ".join([head, *format_body(program)])


def format_body(program: Operations) -> list[str]:
    """The operations, each with the value it writes and its width, those shared first, and the output."""
    lines = [f"{name(op.out)}[{program.widths[op.out]}] = {format_op(op)}" for op in program.ops]
    shared = [f"shared {line}" for line in lines[: program.shared]]
    return [*shared, *lines[program.shared :], f"return {name(program.output)}"]


def name(value: int) -> str:
    """How a value is written: ``t``, ``y``, ``c`` or ``v3`` and so on."""
    return ("t", "y", "c")[value] if value < INPUTS else f"v{value}"


def format_op(op: Op) -> str:
    """The right-hand side of one operation."""
    match op:
        case Dense(x=x, weight=weight, bias=bias, repeats=repeats):
            tail = "" if bias is None else f" + p{bias}"
            return f"p{weight} @ {name(x)}{tail}" + (f", {repeats} times" if repeats > 1 else "")
        case DenseDynamic(x=x, weight=weight, blocks=blocks, repeats=repeats):
            times = [f"{blocks} blocks"] * (blocks > 1) + [f"{repeats} times"] * (repeats > 1)
            return ", ".join([f"{name(weight)} @ {name(x)}", *times])
        case Gather(inputs=inputs, index=index):
            return f"({', '.join(map(name, inputs))})[{_indices(index)}]"
        case Unary(x=x, fn=fn, constants=constants):
            numbers = zip(UNARY[fn].constants, constants, strict=True)
            # What adds nothing at all is -0.0.
            shown = (f"{key}={value:g}" for key, value in numbers if (key, str(value)) != ("shift", "-0.0"))
            return f"{fn}({', '.join([name(x), *shown])})"
        case Binary(a=a, b=b, fn=fn):
            return f"{fn}({name(a)}, {name(b)})"
        case Select(condition=condition, a=a, b=b):
            return f"{name(a)} where {name(condition)} else {name(b)}"
        case SegmentSum(x=x, segment=segment):
            return f"segment_sum({name(x)}, [{_indices(segment)}])"
        case Bucketize(x=x, knots=knots, parameter=parameter, groups=groups, right=right):
            said = [_either(knots, parameter), name(x)]
            said += [f"{groups} groups"] * (groups > 1) + ["right"] * right
            return f"bucketize({', '.join(said)})"
        case Lookup(index=index, table=table, parameter=parameter, starts=starts, stride=stride, count=count):
            rows = f"{name(index)} < {count}"
            return f"{_either(table, parameter)}[[{_indices(starts)}] + {stride} * ({rows})]"
        case Parameter(parameter=parameter):
            return f"p{parameter}"
        case Constant(values=values):
            return f"[{_shorten([f'{value:g}' for value in values])}]"


def _either(value: int | None, parameter: int | None) -> str:
    """A value, or else a parameter."""
    return f"p{parameter}" if value is None else name(value)


def _indices(index: Sequence[int]) -> str:
    """Runs as ``3:7``, repetitions as ``0 x 5``."""
    parts: list[str] = []
    position = 0
    while position < len(index):
        step = 1 if position + 1 < len(index) and index[position + 1] == index[position] + 1 else 0
        end = position + 1
        while end < len(index) and index[end] == index[end - 1] + step:
            end += 1
        first, count = index[position], end - position
        if count == 1:
            parts.append(str(first))
        else:
            parts.append(f"{first}:{first + count}" if step else f"{first} x {count}")
        position = end
    return _shorten(parts)


def _shorten(parts: Iterable[str]) -> str:
    parts = list(parts)
    if len(parts) <= _SHOWN:
        return ", ".join(parts)
    return ", ".join([*parts[: _SHOWN - 1], f"… {len(parts) - _SHOWN + 1} more"])
