"""Handing a Program to the compiled module, operation by operation."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch

from flashode.engines.compiled.scope import cost
from flashode.program import (
    Binary,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Op,
    Parameter,
    Program,
    Reach,
    SegmentSum,
    Select,
    Unary,
)


class Compiled(NamedTuple):
    """What is made of a Program once.

    Attributes:
        program: The compiled module's form of it.
        cost: Arithmetic operations of one evaluation.
        reach: What gradients reach.
    """

    program: Any
    cost: int
    reach: Reach


_compiled: dict[int, Compiled] = {}
# Not among the former, which these refer to: a cycle would outlive its Program.
_known: dict[int, dict[Any, Any]] = {}


def compiled(program: Program, builder_type: Any) -> Compiled:
    """The compiled module's form of a Program, kept as long as the Program lives."""
    key = id(program)
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = Compiled(translate(program, builder_type), cost(program), program.reach())
        _known[key] = {}
        weakref.finalize(program, _forget, key)
    return found


def known(program: Program) -> dict[Any, Any]:
    """What is kept with a Program: the short ways to plans with it, by what solves ask for."""
    return _known.get(id(program), {})


def all_known() -> list[dict[Any, Any]]:
    """The same, of every Program that lives."""
    # Of a copy, which other threads and what they let go do not change.
    return list(_known.copy().values())


def _forget(key: int) -> None:
    _compiled.pop(key, None)
    _known.pop(key, None)


def translate(program: Program, builder_type: Any) -> Any:
    """The compiled module's form of a Program, made by its ``ProgramBuilder``."""
    sizes = [torch.Size(shape).numel() for shape in program.parameter_shapes]
    builder = builder_type(program.widths, sizes)
    for op in program.ops:
        _add(builder, op, program)
    return builder.finish(program.output)


def _add(builder: Any, op: Op, program: Program) -> None:
    match op:
        case Dense(out, x, weight, bias, repeats):
            features_out, features_in = program.parameter_shapes[weight]
            builder.dense(out, x, weight, bias, repeats, features_in, features_out)
        case Gather(out, inputs, index):
            builder.gather(out, inputs, list(index))
        case Unary(out, x, fn, constants):
            builder.unary(out, x, fn, constants)
        case Binary(out, a, b, fn):
            builder.binary(out, a, b, fn)
        case DenseDynamic(out, x, weight, blocks, repeats):
            builder.dense_dynamic(out, x, weight, blocks, repeats)
        case Select(out, condition, a, b):
            builder.select(out, condition, a, b)
        case SegmentSum(out, x, segment):
            builder.segment_sum(out, x, list(segment))
        case Parameter(out, parameter):
            builder.parameter(out, parameter)
        case Constant(out, values):
            builder.constant(out, list(values))
