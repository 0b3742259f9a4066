"""Handing a Program to the compiled module, operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from flashode.program import (
    Binary,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    Unary,
)

if TYPE_CHECKING:
    from flashode import _flashode
    from flashode._flashode import ProgramBuilder


def translate(program: Program, builder_type: type[ProgramBuilder]) -> _flashode.Program:
    """The compiled module's form of a Program, made by its ``ProgramBuilder``."""
    sizes = [torch.Size(shape).numel() for shape in program.parameter_shapes]
    builder = builder_type(widths=program.widths, parameter_sizes=sizes, shared=program.shared)
    for op in program.ops:
        _add(builder, op, program)
    return builder.finish(output=program.output)


def _add(builder: ProgramBuilder, op: Op, program: Program) -> None:
    match op:
        case Dense(out, x, weight, bias, repeats):
            features_out, features_in = program.parameter_shapes[weight]
            builder.dense(
                out=out,
                x=x,
                weight=weight,
                bias=bias,
                repeats=repeats,
                features_in=features_in,
                features_out=features_out,
            )
        case Gather(out, inputs, index):
            builder.gather(out=out, inputs=inputs, index=list(index))
        case Unary(out, x, fn, constants):
            builder.unary(out=out, x=x, fn=fn, constants=constants)
        case Binary(out, a, b, fn):
            builder.binary(out=out, a=a, b=b, fn=fn)
        case DenseDynamic(out, x, weight, blocks, repeats):
            builder.dense_dynamic(out=out, x=x, weight=weight, blocks=blocks, repeats=repeats)
        case Select(out, condition, a, b):
            builder.select(out=out, condition=condition, a=a, b=b)
        case SegmentSum(out, x, segment):
            builder.segment_sum(out=out, x=x, segment=list(segment))
        case Parameter(out, parameter):
            builder.parameter(out=out, parameter=parameter)
        case Constant(out, values):
            builder.constant(out=out, values=list(values))
