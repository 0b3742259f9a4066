"""Handing a Program to the compiled module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def translate(program: Program, module: Any) -> _flashode.Program:
    """The Program as an object of the compiled module, which is ``module``."""
    compiled: _flashode.Program = module.Program(
        widths=program.widths,
        parameter_sizes=[torch.Size(shape).numel() for shape in program.parameter_shapes],
        ops=[module.Op(**_numbers(op, program)) for op in program.ops],
        output=program.output,
        shared=program.shared,
    )
    return compiled


def _numbers(op: Op, program: Program) -> dict[str, Any]:
    match op:
        case Dense(out, x, weight, bias, repeats):
            features_out, features_in = program.parameter_shapes[weight]
            return {
                "kind": "dense",
                "out": out,
                "inputs": [x],
                "parameter": weight,
                "bias": bias,
                "repeats": repeats,
                "features_in": features_in,
                "features_out": features_out,
            }
        case Gather(out, inputs, index):
            return {"kind": "gather", "out": out, "inputs": inputs, "index": list(index)}
        case Unary(out, x, fn, constants):
            return {"kind": "unary", "out": out, "inputs": [x], "fn": fn, "constants": constants}
        case Binary(out, a, b, fn):
            return {"kind": "binary", "out": out, "inputs": [a, b], "fn": fn}
        case DenseDynamic(out, x, weight, blocks, repeats):
            inputs = x, weight
            return {
                "kind": "dense_dynamic",
                "out": out,
                "inputs": inputs,
                "blocks": blocks,
                "repeats": repeats,
            }
        case Select(out, condition, a, b):
            return {"kind": "select", "out": out, "inputs": [condition, a, b]}
        case SegmentSum(out, x, segment):
            return {"kind": "segment_sum", "out": out, "inputs": [x], "index": list(segment)}
        case Parameter(out, parameter):
            return {"kind": "parameter", "out": out, "inputs": [], "parameter": parameter}
        case Constant(out, values):
            return {"kind": "constant", "out": out, "inputs": [], "constants": list(values)}
