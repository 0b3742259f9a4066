"""Handing a Program to the compiled module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from flashode.program import (
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
    SegmentSum,
    Select,
    Unary,
)

if TYPE_CHECKING:
    from flashode import _flashode


def translate(program: Program, module: Any) -> _flashode.Program:
    """The Program as an object of the compiled module, which is ``module``."""
    compiled: _flashode.Program = module.Program(
        widths=program.widths,
        parameter_sizes=[torch.Size(shape).numel() for shape in program.parameter_shapes],
        ops=[_translated(op, program, module.Op) for op in program.ops],
        output=program.output,
        shared=program.shared,
    )
    return compiled


def _translated(op: Op, program: Program, make: type[_flashode.Op]) -> _flashode.Op:
    match op:
        case Dense(out, x, weight, bias, repeats):
            features_out, features_in = program.parameter_shapes[weight]
            return make(
                kind="dense",
                out=out,
                inputs=[x],
                parameter=weight,
                bias=bias,
                repeats=repeats,
                features_in=features_in,
                features_out=features_out,
            )
        case DenseDynamic(out, x, weight, blocks, repeats):
            return make(kind="dense_dynamic", out=out, inputs=[x, weight], blocks=blocks, repeats=repeats)
        case Gather(out, inputs, index):
            return make(kind="gather", out=out, inputs=inputs, index=list(index))
        case Unary(out, x, fn, constants):
            return make(kind="unary", out=out, inputs=[x], fn=fn, constants=constants)
        case Binary(out, a, b, fn):
            return make(kind="binary", out=out, inputs=[a, b], fn=fn)
        case Select(out, condition, a, b):
            return make(kind="select", out=out, inputs=[condition, a, b])
        case SegmentSum(out, x, segment):
            return make(kind="segment_sum", out=out, inputs=[x], index=list(segment))
        case Bucketize(out, x, knots, parameter, groups, right):
            return make(
                kind="bucketize",
                out=out,
                inputs=[x] if knots is None else [x, knots],
                parameter=-1 if parameter is None else parameter,
                blocks=groups,
                right=right,
            )
        case Lookup(out, index, table, parameter, starts, stride, count):
            return make(
                kind="lookup",
                out=out,
                inputs=[index] if table is None else [index, table],
                index=list(starts),
                parameter=-1 if parameter is None else parameter,
                stride=stride,
                count=count,
            )
        case Parameter(out, parameter):
            return make(kind="parameter", out=out, inputs=[], parameter=parameter)
        case Constant(out, values):
            return make(kind="constant", out=out, inputs=[], constants=list(values))
