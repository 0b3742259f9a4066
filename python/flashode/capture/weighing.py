"""About how many bytes of memory a capture takes for as long as it is kept."""

from __future__ import annotations

from torch import Tensor

from flashode.capture.guards.guard_code import Check
from flashode.capture.lowering.lower import Lowered
from flashode.capture.tracing.traced import leaves
from flashode.declined import Declined
from flashode.program import C, Constant, Gather, Program, SegmentSum

# Measured, of networks of 1 to 60 layers: what every capture takes, with the short way to it; what is small
# and many, such as an operation, a value and a step of a prologue; and what stands beside each byte of a
# check's code, as names, constants and line numbers do.
_CAPTURE = 32 * 1024
_OBJECT = 512
_BESIDE_CODE = 4


def weight(lowered: Lowered | Declined, check: Check) -> int:
    """Of what was made of a function and of the checks that find it again."""
    total = weight_of_check(check)
    if isinstance(lowered, Declined):
        return total
    graph, steps = lowered.graph, lowered.prologue.steps
    objects = len(lowered.program.ops) + len(graph.operations) + len(graph.values) + len(steps)
    tensors: list[object] = [tensor for step in steps for tensor in step.held]
    tensors += [value.literal for value in graph.values]
    for operation in graph.operations:
        tensors += leaves((operation.args, operation.kwargs))
    tensors += lowered.held.values()
    distinct = {id(tensor): tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor)}
    # The compiled module has the Program's numbers once more.
    return total + _CAPTURE + _OBJECT * objects + sum(distinct.values()) + 2 * _numbers(lowered.program)


def weight_of_check(check: Check) -> int:
    """Of compiled checks."""
    return _OBJECT + _BESIDE_CODE * len(check.__code__.co_code)


def _numbers(program: Program) -> int:
    """Bytes of the indices and literals in a Program, and of what says which rows a gradient reaches."""
    total = program.widths[C]
    for op in program.ops:
        match op:
            case Gather(index=numbers) | SegmentSum(segment=numbers):
                total += 4 * len(numbers)
            case Constant(values=values):
                total += 8 * len(values)
    return total
