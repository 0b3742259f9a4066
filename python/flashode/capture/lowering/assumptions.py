"""What a trace assumes of conditions, as far as each trajectory can tell by itself."""

from __future__ import annotations

from flashode.capture.tracing.traced import Operation, Ref, Trace

_NOT = frozenset({"aten::logical_not", "aten::bitwise_not"})


def assumed(graph: Trace) -> list[tuple[int, bool]]:
    """Conditions, of which all elements have to be true, or all false.

    That a condition holds for none of all trajectories, or for all of them, each of them knows of itself.
    """
    makers = {output: operation for operation in graph.operations for output in operation.outputs}
    return [_elementwise(makers, index, holds) for index, holds in graph.assumptions]


def _elementwise(makers: dict[int, Operation], index: int, holds: bool) -> tuple[int, bool]:
    operation = makers.get(index)
    while operation is not None and len(operation.args) == 1 and isinstance(operation.args[0], Ref):
        name = operation.op._schema.name
        if name in _NOT:
            holds = not holds
        elif name != ("aten::all" if holds else "aten::any"):
            break
        index = operation.args[0].index
        operation = makers.get(index)
    return index, holds
