"""What makes an operation well formed, given the widths of the values before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flashode.program.functions import BINARY, UNARY
from flashode.program.ops import (
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
    operands,
)

Shapes = Sequence[tuple[int, ...]]


def check_op(op: Op, widths: Sequence[int], parameter_shapes: Shapes) -> None:
    """Raises ValueError for a malformed operation; ``widths`` are those of all values, its own among them."""
    for operand in operands(op):
        if not 0 <= operand < op.out:
            raise ValueError(f"{op} reads value {operand}, which is not written before it")
    width = _width(op, widths, parameter_shapes)
    if width != widths[op.out]:
        raise ValueError(f"{op} writes {width} rows where {widths[op.out]} are declared")


def _width(op: Op, widths: Sequence[int], parameter_shapes: Shapes) -> int:
    match op:
        case Dense():
            return _dense_width(op, widths, parameter_shapes)
        case DenseDynamic():
            return _dense_dynamic_width(op, widths)
        case Gather(inputs=inputs, index=index):
            available = sum(widths[value] for value in inputs)
            if any(not 0 <= i < available for i in index):
                raise ValueError(f"a gather from {available} rows has an index outside them: {op}")
            return len(index)
        case Unary(x=x, fn=fn, constants=constants):
            if fn not in UNARY:
                raise ValueError(f"unknown unary function {fn!r}; known: {', '.join(UNARY)}")
            if len(constants) != len(UNARY[fn].constants):
                raise ValueError(f"{fn} takes the constants {UNARY[fn].constants}, given {constants}")
            return widths[x]
        case Binary(a=a, b=b, fn=fn):
            if fn not in BINARY:
                raise ValueError(f"unknown binary function {fn!r}; known: {', '.join(BINARY)}")
            if widths[a] != widths[b]:
                raise ValueError(f"{op} joins widths {widths[a]} and {widths[b]}")
            return widths[a]
        case Select(condition=condition, a=a, b=b):
            if not widths[condition] == widths[a] == widths[b]:
                raise ValueError(f"{op} joins widths {widths[condition]}, {widths[a]} and {widths[b]}")
            return widths[a]
        case SegmentSum(out=out, x=x, segment=segment):
            if len(segment) != widths[x]:
                raise ValueError(f"a segment sum over {widths[x]} rows has {len(segment)} segments: {op}")
            if any(not 0 <= i < widths[out] for i in segment):
                raise ValueError(f"a segment sum into {widths[out]} rows has a segment outside them: {op}")
            return widths[out]
        case Bucketize():
            return _bucketize_width(op, widths, parameter_shapes)
        case Lookup():
            return _lookup_width(op, widths, parameter_shapes)
        case Parameter(parameter=parameter):
            return math.prod(_shape(parameter, parameter_shapes))
        case Constant(values=values):
            return len(values)


def _dense_width(op: Dense, widths: Sequence[int], parameter_shapes: Shapes) -> int:
    shape = _shape(op.weight, parameter_shapes)
    if len(shape) != 2:
        raise ValueError(f"the weight of {op} has shape {shape}, not (out_features, in_features)")
    out_features, in_features = shape
    bias_shape = (out_features,) if op.bias is None else _shape(op.bias, parameter_shapes)
    if bias_shape != (out_features,):
        raise ValueError(f"the bias of {op} has shape {bias_shape}, not {(out_features,)}")
    if op.repeats < 1 or op.repeats * in_features != widths[op.x]:
        raise ValueError(f"{op} reads {widths[op.x]} rows, not {op.repeats} groups of {in_features}")
    return op.repeats * out_features


def _dense_dynamic_width(op: DenseDynamic, widths: Sequence[int]) -> int:
    groups = op.blocks * op.repeats
    if op.blocks < 1 or op.repeats < 1 or widths[op.x] % groups:
        raise ValueError(f"{op} reads {widths[op.x]} rows, not {op.blocks} times {op.repeats} equal groups")
    matrix_row = op.blocks * (widths[op.x] // groups)
    if widths[op.weight] % matrix_row:
        raise ValueError(f"the weight of {op} has {widths[op.weight]} rows, no multiple of {matrix_row}")
    return groups * (widths[op.weight] // matrix_row)


def _bucketize_width(op: Bucketize, widths: Sequence[int], parameter_shapes: Shapes) -> int:
    knots = _elements(op, op.knots, op.parameter, widths, parameter_shapes)
    if op.groups < 1 or widths[op.x] % op.groups or knots % op.groups or not knots:
        raise ValueError(f"{op} searches {knots} knots for {widths[op.x]} rows, not {op.groups} equal groups")
    return widths[op.x]


def _lookup_width(op: Lookup, widths: Sequence[int], parameter_shapes: Shapes) -> int:
    elements = _elements(op, op.table, op.parameter, widths, parameter_shapes)
    if not len(op.starts) or len(op.starts) % widths[op.index]:
        raise ValueError(f"{op} has {len(op.starts)} starts, no multiple of its {widths[op.index]} indices")
    if op.stride < 1 or op.count < 1:
        raise ValueError(f"the stride and the count of {op} must be positive")
    if min(op.starts) < 0 or max(op.starts) + op.stride * (op.count - 1) >= elements:
        raise ValueError(f"{op} reads outside of a table of {elements} elements")
    return len(op.starts)


def _elements(
    op: Op, value: int | None, parameter: int | None, widths: Sequence[int], parameter_shapes: Shapes
) -> int:
    """How many there are of what is a value, or else a parameter."""
    if (value is None) == (parameter is None):
        raise ValueError(f"{op} reads a value or a parameter, one of the two")
    return widths[value] if value is not None else math.prod(_shape(parameter, parameter_shapes))


def _shape(parameter: int | None, parameter_shapes: Shapes) -> tuple[int, ...]:
    if parameter is None or not 0 <= parameter < len(parameter_shapes):
        raise ValueError(f"parameter {parameter} of {len(parameter_shapes)} does not exist")
    return parameter_shapes[parameter]
