"""The slow interpreter: a Program in plain torch, its own oracle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flashode.program.functions import BINARY, UNARY
from flashode.program.operations import Operations
from flashode.program.ops import (
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
        case Bucketize(x=x, knots=knots, parameter=parameter, groups=groups, right=right):
            ascending = _either(values, parameters, knots, parameter, batch)
            parts = [part.reshape(*batch, groups, -1).detach() for part in (ascending, values[x])]
            counts = torch.searchsorted(parts[0].contiguous(), parts[1].contiguous(), right=right)
            return counts.to(y.dtype).reshape(*batch, width)
        case Lookup():
            return _looked_up(op, values, parameters, batch)
        case Parameter(parameter=parameter):
            return parameters[parameter].reshape(-1).expand(*batch, width)
        case Constant(values=literals):
            return y.new_tensor(list(literals)).expand(*batch, width)


def _either(
    values: Sequence[Tensor],
    parameters: Sequence[Tensor],
    value: int | None,
    parameter: int | None,
    batch: torch.Size,
) -> Tensor:
    """A value, or else a parameter's elements for each trajectory."""
    if value is not None:
        return values[value]
    assert parameter is not None
    return parameters[parameter].reshape(-1).expand(*batch, -1)


def _looked_up(
    op: Lookup, values: Sequence[Tensor], parameters: Sequence[Tensor], batch: torch.Size
) -> Tensor:
    table = _either(values, parameters, op.table, op.parameter, batch)
    index = values[op.index].detach()
    index = index.repeat_interleave(len(op.starts) // index.shape[-1], -1)
    named = (index >= 0) & (index < op.count)
    rows = torch.where(named, index, 0).long()
    found = table.gather(-1, torch.tensor(list(op.starts), device=table.device) + op.stride * rows)
    return torch.where(named, found, torch.nan)
