"""The slow interpreter: a Program in plain torch, its own oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashode.program.functions import BINARY, UNARY
from flashode.program.operations import Operations
from flashode.program.ops import (
    Binary,
    C,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Op,
    Parameter,
    SegmentSum,
    Select,
    Unary,
    Y,
)


def interpret(
    program: Operations, t: Tensor, y: Tensor, parameters: Sequence[Tensor], c: Tensor | None
) -> Tensor:
    """Evaluates the Program; see ``Program.interpret``."""
    if y.shape[-1:] != (program.widths[Y],):
        raise ValueError(f"y has shape {tuple(y.shape)}, its last dimension must be {program.widths[Y]}")
    c = y[..., :0] if c is None else c
    beside = (*y.shape[:-1], program.widths[C])
    if c.shape != beside:
        raise ValueError(f"c has shape {tuple(c.shape)}, beside such a y it must be {beside}")
    shapes = tuple(tuple(parameter.shape) for parameter in parameters)
    if shapes != program.parameter_shapes:
        raise ValueError(f"parameters have shapes {shapes}, the program takes {program.parameter_shapes}")
    values = [t.unsqueeze(-1).expand(*y.shape[:-1], 1), y, c]
    for op in program.ops:
        values.append(_evaluate(op, program.widths[op.out], values, parameters))
    return values[program.output]


def _evaluate(op: Op, width: int, values: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    y = values[Y]
    batch = y.shape[:-1]
    match op:
        case Dense(x=x, weight=weight, bias=bias, repeats=repeats):
            grouped = values[x].reshape(*batch, repeats, -1)
            result = grouped @ parameters[weight].mT
            if bias is not None:
                result = result + parameters[bias]
            return result.reshape(*batch, width)
        case DenseDynamic(x=x, weight=weight, blocks=blocks, repeats=repeats):
            grouped = values[x].reshape(*batch, blocks, repeats, -1)
            matrices = values[weight].reshape(*batch, blocks, -1, grouped.shape[-1])
            return (grouped @ matrices.mT).reshape(*batch, width)
        case Gather(inputs=inputs, index=index):
            rows = torch.cat([values[value] for value in inputs], -1)
            return rows.index_select(-1, torch.tensor(list(index), device=y.device))
        case Unary(x=x, fn=fn, constants=constants):
            return UNARY[fn].evaluate(values[x], *constants)
        case Binary(a=a, b=b, fn=fn):
            return BINARY[fn](values[a], values[b])
        case Select(condition=condition, a=a, b=b):
            return torch.where(values[condition] != 0, values[a], values[b])
        case SegmentSum(x=x, segment=segment):
            return y.new_zeros(*batch, width).index_add(
                -1, torch.tensor(list(segment), device=y.device), values[x]
            )
        case Parameter(parameter=parameter):
            return parameters[parameter].reshape(-1).expand(*batch, width)
        case Constant(values=literals):
            return y.new_tensor(list(literals)).expand(*batch, width)
