"""About how many bytes of memory a capture takes for as long as it is kept."""

from __future__ import annotations

from torch import Tensor

from flashode.capture.guards.guard_code import Check
from flashode.capture.guards.sparse import bytes_of
from flashode.capture.lowering.lower import Lowered
from flashode.capture.tracing.traced import leaves
from flashode.declined import Declined
from flashode.program import C
from flashode.program.packed import Packed

# Measured with networks of 1 to 60 layers, in bytes: what every capture takes; one of its many small objects,
# such as an operation, a value or a step of the prologue; and, for each byte of a check's code, the names,
# constants and line numbers that belong to it.
_CAPTURE = 32 * 1024
_OBJECT = 512
_BESIDE_CODE = 4


def weight(check: Check, lowered: Lowered | Declined | None = None) -> int:
    """About how many bytes the checks on a function take, with what it was lowered to."""
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
    # The compiled module has a copy of the Program's numbers; `Reach` has a byte for each row of c.
    numbers = 2 * (sum(part.nbytes for part in packed) + lowered.program.widths[C])
    distinct = {id(tensor): bytes_of(tensor) for tensor in tensors if isinstance(tensor, Tensor)}
    return total + _CAPTURE + _OBJECT * objects + sum(distinct.values()) + numbers
