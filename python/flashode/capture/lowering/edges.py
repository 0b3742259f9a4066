"""Gradients that are zero everywhere: autograd gives zeros where it has an edge, else nothing.

A Program has rows where the function has tensors. A row that nothing depends on is left out, and a tensor of
which all rows are, such as the bias before a relu in a derivative, would be one that no gradient reaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from flashode.capture.lowering.rows import Rows
from flashode.capture.lowering.rules import FILLED
from flashode.capture.lowering.rules.context import Lowering, View
from flashode.capture.tracing.traced import Operation, Ref, Trace, refs_in
from flashode.program import C, T

_CUT = "aten::detach_copy"
# Their derivative of order zero is none.
_NORMS = frozenset({"aten::linalg_vector_norm", "aten::norm"})


def reads(operation: Operation) -> list[Ref]:
    """The tensors whose values an operation reads."""
    name = operation.op._schema.name.removeprefix("aten::")
    return [] if name in FILLED else list(refs_in((operation.args, operation.kwargs)))


def connected(
    low: Lowering,
    graph: Trace,
    operations: Sequence[Operation],
    views: Mapping[int, View],
    slots: Sequence[Tensor],
    output: Rows,
) -> Rows:
    """The output, with an edge to each of the field's tensors that autograd has one to."""
    learned = [
        index
        for index in _behind(graph, operations, views)
        if (slot := graph.values[index].slot) is not None and slots[slot].requires_grad
    ]
    if not learned:
        return output
    program, parameters = low.program.finish(output)
    reach = program.reach()
    rows = low.program.value(C)[np.frombuffer(reach.rows, np.bool_)]
    reached = low.prologue.slots_behind([low.registers[parameters[i]] for i in reach.parameters])
    missing = [
        views[index].rows.flat[0]
        for index in sorted(learned)
        if graph.values[index].slot not in reached and not np.isin(views[index].rows, rows).any()
    ]
    if not missing:
        return output
    return _with_edges(low, output, np.array(missing))


def _with_edges(low: Lowering, output: Rows, sources: Rows) -> Rows:
    """The same rows, chosen before ``sources``: what is not chosen has a gradient of zero."""
    time = low.program.value(T)
    never = low.program.binary("ne", time, time)
    result = output.copy()
    while sources.size:
        count = min(len(sources), len(result))
        chosen, sources = sources[:count], sources[count:]
        result[:count] = low.program.select(np.repeat(never, count), chosen, result[:count])
    return result


def _behind(graph: Trace, operations: Sequence[Operation], views: Mapping[int, View]) -> set[int]:
    """The values that autograd has an edge to from what the field returns."""
    behind = {output for output in graph.outputs if output in views}
    # What is written into memory that several values show is seen in all of them.
    memory = {id(views[index].storage) for index in behind}
    for operation in reversed(operations):
        outputs = [
            index
            for index in operation.outputs
            if index in views and graph.values[index].dtype.is_floating_point
        ]
        name = operation.op._schema.name
        cuts = name == _CUT or (name in _NORMS and operation.args[1:2] == (0,))
        if cuts or memory.isdisjoint(id(views[index].storage) for index in outputs):
            continue
        for ref in reads(operation):
            if graph.values[ref.index].dtype.is_floating_point and ref.index in views:
                behind.add(ref.index)
                memory.add(id(views[ref.index].storage))
    return behind
