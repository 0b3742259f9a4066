"""About how many bytes of memory a capture takes for as long as it is kept."""

from __future__ import annotations

from torch import Tensor

from flashode.capture.guards.guard_code import Check
from flashode.capture.lowering.lower import Lowered
from flashode.capture.tracing.traced import leaves
from flashode.declined import Declined
from flashode.program import C
from flashode.program.packed import Packed

# Measured, of networks of 1 to 60 layers: what every capture takes, with the short way to it; what is small
# and many, such as an operation, a value and a step of a prologue; and what stands beside each byte of a
# check's code, as names, constants and line numbers do.
_CAPTURE = 32 * 1024
_OBJECT = 512
_BESIDE_CODE = 4


def weight(check: Check, lowered: Lowered | Declined | None = None) -> int:
    """Of the checks on a function and of what was made of it."""
    total = _OBJECT + _BESIDE_CODE * len(check.__code__.co_code)
    if not isinstance(lowered, Lowered):
        return total
    graph, steps = lowered.graph, lowered.prologue.steps
    objects = len(lowered.program.ops) + len(graph.operations) + len(graph.values) + len(steps)
    tensors: list[object] = [tensor for step in steps for tensor in step.held]
    tensors += [value.literal for value in graph.values]
    for operation in graph.operations:
        tensors += leaves((operation.args, operation.kwargs))
    tensors += lowered.held.values()
    packed = [part for op in lowered.program.ops for part in vars(op).values() if isinstance(part, Packed)]
    # The compiled module has the Program's numbers once more; what says which rows of c a gradient reaches.
    numbers = 2 * (sum(part.nbytes for part in packed) + lowered.program.widths[C])
    distinct = {id(tensor): tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor)}
    return total + _CAPTURE + _OBJECT * objects + sum(distinct.values()) + numbers
