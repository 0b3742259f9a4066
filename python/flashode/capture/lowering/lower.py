"""From the graph of ATen operations to a Program and its prologue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flashode.capture.lowering.assumptions import assumed
from flashode.capture.lowering.edges import connected, reads
from flashode.capture.lowering.prologue import Prologue
from flashode.capture.lowering.rows import Rows, distinct
from flashode.capture.lowering.rules import (
    FILLED,
    INDEXING,
    NUMBERING,
    POINTWISE,
    RULES,
    STRUCTURE,
    TABLES,
)
from flashode.capture.lowering.rules.context import (
    Call,
    Lowering,
    Result,
    Sparse,
    View,
    batch_axis,
    per_trajectory,
)
from flashode.capture.lowering.rules.integers import INTEGRAL, integral, is_integer
from flashode.capture.lowering.rules.sparse import sparse, sparse_result
from flashode.capture.lowering.rules.structure import RESHAPES, write
from flashode.capture.refusal import Computed, Mixing, Refusal, TooLarge, Typed, Unsupported
from flashode.capture.tracing.traced import Batch, Operation, Ref, Trace, TracedValue, leaves, mapped, refs_in
from flashode.declined import Reason
from flashode.program import C, Program, T, Y

# A larger literal is kept as a tensor, which a kernel reads in place.
MAX_LITERAL_ROWS = 4096


@dataclass(frozen=True)
class Lowered:
    """A Program, what makes its parameters, and the trace that it was made of.

    Attributes:
        batched: whether the state holds several trajectories.
        carried: the field's tensors of which each trajectory reads its own slice, which are the Program's c.
        held: contents that the Program presumes of the field's tensors, by slot: indices.
        device: where the state is.
        partial: whether there are times and states where the Program gives no number and the function does,
            or raises.
    """

    program: Program
    prologue: Prologue
    batched: bool
    carried: tuple[int, ...]
    dtype: torch.dtype
    held: Mapping[int, Tensor]
    graph: Trace
    device: torch.device
    partial: bool

    def carry(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The field's tensors that are c, where the state is and in its dtype; with autograd on."""
        if not self.carried:
            return ()
        with torch.enable_grad():
            return tuple(tensors[slot].to(self.device, self.dtype) for slot in self.carried)


def lower(graph: Trace, y: Tensor, slots: Sequence[Tensor]) -> Lowered:
    """Lowers what two traces gave, or refuses, and names all operations that cannot be lowered.

    Args:
        graph: the field; the components of its ``y`` have a batch axis at the front, or none.
        y: a component of a state, for its dtype and device.
        slots: the tensors that the field owns.
    """
    assumptions = assumed(graph)
    operations = _needed(graph, [index for index, _ in assumptions])
    inputs = [index for index, value in enumerate(graph.values) if value.origin == "y"]
    carried = _carried(graph, operations)
    sizes = [  # of the parts of y, and of those of c
        [math.prod(per_trajectory(graph.values[index].shape)) for index in of] for of in (inputs, carried)
    ]
    low = Lowering((sum(sizes[0]), sum(sizes[1])), y.dtype, y.device, slots)
    rows = [np.split(low.program.value(v), np.cumsum(of)[:-1]) for v, of in zip((Y, C), sizes, strict=True)]
    low.assumptions = assumptions
    views = _sources(low, graph, dict(zip((*inputs, *carried), chain(*rows), strict=False)))
    for source, view in views.items():
        _require(low, source, view)
    _lower_operations(low, graph, operations, views)
    results = []
    for index, output in zip(inputs, graph.outputs, strict=True):
        shape = graph.values[index].shape
        if 0 in per_trajectory(shape):
            continue
        if views[output].shape != shape:
            makers = [operation for operation in operations if output in operation.outputs]
            where = makers[-1].where if makers else None
            raise Refusal(*Mixing("the value it returns does not keep the batch axis of y").within(where))
        results.append(views[output].rows.ravel())
    rates = connected(low, graph, operations, views, slots, np.concatenate(results))
    program, parameters = low.program.finish(_where_required(low, rates))
    prologue = low.prologue.finish([low.registers[index] for index in parameters])
    batched = any(batch_axis(graph.values[index].shape) is not None for index in inputs)
    held = low.prologue.held
    slots_of_c, partial = tuple(carried.values()), bool(low.required)
    return Lowered(program, prologue, batched, slots_of_c, low.dtype, held, graph, low.device, partial)


def _where_required(low: Lowering, rates: Rows) -> Rows:
    """The rates where all that is required holds, elsewhere no numbers."""
    if not low.required:
        return rates
    conditions = distinct(np.concatenate(low.required))
    while len(conditions) > 1:
        half = len(conditions) // 2
        joined = low.program.binary("minimum", conditions[:half], conditions[half : 2 * half])
        conditions = np.concatenate([joined, conditions[2 * half :]])
    nothing = np.broadcast_to(low.program.constant(np.array(math.nan)), rates.shape)
    return low.program.select(np.broadcast_to(conditions, rates.shape), rates, nothing)


def _lower_operations(
    low: Lowering, graph: Trace, operations: Sequence[Operation], views: dict[int, View]
) -> None:
    """Lowers operations; past those that it cannot, to refuse with all of them."""
    reasons: list[Reason] = []
    unknown: set[int] = set()
    for operation in operations:
        try:
            if not operation.refused and unknown.isdisjoint(ref.index for ref in reads(operation)):
                _lower_operation(low, graph, operation, views)
                continue
            # Whatever is said of it would be said of the placeholder that it reads.
        except TooLarge as refusal:
            raise Refusal(*reasons, *refusal.within(operation.where, operation.module)) from None
        except Refusal as refusal:
            reasons += refusal.within(operation.where, operation.module)
        except (AttributeError, LookupError, TypeError, ValueError, RuntimeError):
            # A use of the operation that its rule does not foresee; the function still runs eagerly.
            name = operation.op._schema.name.replace("::", ".")
            unforeseen = Unsupported(f"this use of {name} is not supported")
            reasons += unforeseen.within(operation.where, operation.module)
        for index in operation.outputs:
            views[index] = _placeholder(low, graph.values[index])
            if graph.values[index].dtype not in (low.dtype, torch.bool):
                unknown.add(index)
    if reasons or not graph.outputs:
        raise Refusal(*reasons)


def _placeholder(low: Lowering, value: TracedValue) -> View:
    """Something that depends on time, in the place of what cannot be computed."""
    rows = np.broadcast_to(low.program.value(T).reshape(()), per_trajectory(value.shape))
    return low.new(rows, batch_axis(value.shape), value.dtype)


def _carried(graph: Trace, operations: Sequence[Operation]) -> dict[int, int]:
    """The values that are tensors of the field with a slice for each trajectory, and their slots."""
    read = {ref.index for operation in operations for ref in refs_in((operation.args, operation.kwargs))}
    read.update(graph.outputs)
    return {
        index: value.slot
        for index, value in enumerate(graph.values)
        if value.slot is not None and batch_axis(value.shape) is not None and index in read
    }


def _sources(low: Lowering, graph: Trace, rows: dict[int, Rows]) -> dict[int, View]:
    """What operations start from: the inputs at their ``rows``, and what is not made by an operation."""
    views: dict[int, View] = {}
    for index, value in enumerate(graph.values):
        if value.literal is not None and value.literal.layout is not torch.strided:
            low.matrices[index] = sparse(low, value.literal)
        elif value.origin != "result" and (index in rows or batch_axis(value.shape) is None):
            views[index] = _source(low, value, rows.get(index))
    return views


def _source(low: Lowering, value: TracedValue, rows: Rows | None) -> View:
    shape, axis = per_trajectory(value.shape), batch_axis(value.shape)
    if rows is not None:
        return low.new(rows.reshape(shape), axis, value.dtype)
    if value.origin == "t":
        return low.new(low.program.value(T).reshape(()), None)
    if value.slot is not None:
        return low.from_register(low.prologue.slot(value.slot, shape), value.dtype)
    assert value.literal is not None
    return _literal(low, value.literal)


def _literal(low: Lowering, tensor: Tensor) -> View:
    if tensor.is_complex():
        raise Typed("it uses complex numbers")
    if tensor.numel() > MAX_LITERAL_ROWS:
        key = (tensor.dtype, tensor.shape, tensor.cpu().numpy().tobytes())
        return low.from_register(low.prologue.literal(key, tensor.to(low.device)), tensor.dtype)
    return low.new(low.program.constant(tensor.double().cpu().numpy()), None, tensor.dtype)


def _needed(graph: Trace, assumptions: Sequence[int]) -> list[Operation]:
    """The operations that outputs and assumptions depend on, and those that write in place or only check."""
    if not graph.outputs:
        # Its trace had to end: what the rest would have needed is not known.
        return list(graph.operations)
    needed = {output for output in graph.outputs if 0 not in per_trajectory(graph.values[output].shape)}
    needed.update(assumptions)
    kept: list[Operation] = []
    for operation in reversed(graph.operations):
        kept_anyway = operation.op._schema.is_mutable or not operation.outputs
        if kept_anyway or not needed.isdisjoint(operation.outputs):
            kept.append(operation)
            needed.update(ref.index for ref in reads(operation))
    return kept[::-1]


def _lower_operation(low: Lowering, graph: Trace, operation: Operation, views: dict[int, View]) -> None:
    schema = operation.op._schema
    name = schema.name.removeprefix("aten::")
    if schema.is_mutable:
        name = name.removesuffix("_")
    outputs = [graph.values[index] for index in operation.outputs]
    arguments = _bind(operation, {**views, **low.matrices} if low.matrices else views)
    call = Call(name, arguments, tuple(v.shape for v in outputs), tuple(v.dtype for v in outputs))
    read = [ref.index for ref in reads(operation)]
    operands = [views[index] for index in read if index not in low.matrices]
    _refuse_own(low, call, operands)
    made: Sequence[Result]
    if len(operands) == len(read):
        made = _results(low, operation, call, operands, views)
    else:
        made = [sparse_result(low, call)]
    for index, value, view in zip(operation.outputs, outputs, _ordered(call, made, operands), strict=False):
        if view is None:
            continue
        if isinstance(view, Sparse):
            low.matrices[index] = view
            continue
        if view.shape != value.shape:
            raise Mixing(f"aten.{name} treats the batch axis like another axis")
        if view.dtype != value.dtype or not _exact(low, call, view):
            raise Typed(f"aten.{name} makes {value.dtype} of a {low.dtype} state")
        views[index] = view
        _require(low, index, view)


def _require(low: Lowering, index: int, view: View) -> None:
    """Takes note of what the field assumes of a value, as it is now: its memory may be written to later."""
    for assumed_of, holds in low.assumptions:
        if assumed_of == index:
            low.required.append((view if holds else low.inverted(view)).rows.ravel())


def _refuse_own(low: Lowering, call: Call, operands: Sequence[View]) -> None:
    """Refuses to compute with the numbers of trajectories: they are moved, and are indices beside others."""
    if call.name in STRUCTURE:
        return
    indices = call.arguments.get("indices", ()) if call.name == "index" else ()
    storages = {id(x.storage) for x in indices if x is not None}
    if any(id(x.storage) not in storages and low.program.is_own(x.rows).any() for x in operands):
        raise Mixing(f"aten.{call.name} computes with the numbers of trajectories")


def _results(
    low: Lowering, operation: Operation, call: Call, operands: Sequence[View], views: dict[int, View]
) -> Sequence[Result]:
    op = operation.op
    if _is_hoisted(low, call, operands):
        _hold_masks(low, op, call, operands)
        made = _evaluated_before(low, operation, call, views)
        if _shows_memory(op):
            # The result is a copy, which is as good until one of the two is written to.
            for x in (*operands, *made):
                x.storage.shown = call.name
        results: Sequence[Result] = made
    elif call.name in RULES:
        result = RULES[call.name](low, call)
        listed = [result] if isinstance(result, View) else list(result)
        results = [
            integral(low, call, view, dtype) if isinstance(view, View) else view
            for view, dtype in zip(listed, call.dtypes, strict=False)
        ]
    else:
        raise Unsupported(f"aten.{call.name} is not supported")
    writes = op._schema.name.endswith("_") and torch.Tag.inplace_view not in op.tags
    return [write(low, call["self"], results[0])] if writes and isinstance(results[0], View) else results


def _is_hoisted(low: Lowering, call: Call, operands: Sequence[View]) -> bool:
    """Whether torch evaluates it before the solve: it computes something, and from parameters alone."""
    if call.name in STRUCTURE or call.name in FILLED or (call.name == "_to_copy" and not _casts(call)):
        return False
    if call.name in POINTWISE:
        return all(low.program.is_static(x.rows) for x in operands)
    return call.axis is None and all(map(low.is_static, operands))


def _shows_memory(op: torch._ops.OpOverload) -> bool:
    returns = op._schema.returns
    alias = returns[0].alias_info if returns else None
    return alias is not None and not alias.is_write


def _hold_masks(low: Lowering, op: torch._ops.OpOverload, call: Call, operands: Sequence[View]) -> None:
    """Holds the masks that decide the shape of a result to their content."""
    if torch.Tag.dynamic_output_shape not in op.tags:
        return
    for x in operands:
        if x.dtype == torch.bool and low.known(x) is None:
            raise Computed(f"the shape that aten.{call.name} makes depends on a tensor's values")


def _ordered(call: Call, results: Sequence[Result], operands: Sequence[View]) -> Sequence[Result]:
    """The results, which run through the trajectories in the order that the operands do."""
    orders = {x.outer for x in operands if x.axis is not None}
    if len(orders) > 1:
        raise Mixing(f"aten.{call.name} joins batches that are merged with other axes in different ways")
    if call.name in RESHAPES or not orders:
        return results
    (outer,) = orders
    return [
        replace(view, outer=1 if view.axis is None else outer) if isinstance(view, View) else view
        for view in results
    ]


def _exact(low: Lowering, call: Call, view: View) -> bool:
    """Whether the Program's rows, of the state's dtype, hold what torch computes in the view's."""
    if view.dtype in (low.dtype, torch.bool) or low.program.is_static(view.rows):
        return True
    # Ones and zeros are exact in every dtype, and so are their sums.
    counts = call.name in ("_to_copy", "sum", "cumsum") and call["self"].dtype == torch.bool
    narrower = torch.promote_types(view.dtype, low.dtype) == low.dtype
    chosen = call.name == "where" and narrower
    whole = is_integer(view.dtype) and (call.name in INTEGRAL or call.name == "_to_copy")
    numbered = call.name in NUMBERING and not view.dtype.is_floating_point
    moved = call.name in STRUCTURE or call.name in INDEXING or call.name in TABLES
    return counts or chosen or whole or numbered or moved or call.name == "count_nonzero"


def _casts(call: Call) -> bool:
    x = call["self"]
    return not isinstance(x, View) or x.dtype != call.dtypes[0]


def _evaluated_before(
    low: Lowering, operation: Operation, call: Call, views: dict[int, View]
) -> Sequence[View]:
    """An operation on the field's own tensors: torch's at each solve, or done now if all are literals."""
    function = _functional(operation.op, call.name)
    indices = list(dict.fromkeys(ref.index for ref in refs_in((operation.args, operation.kwargs))))
    if any(isinstance(item, Batch) for item in leaves((operation.args, operation.kwargs))):
        raise Mixing(f"aten.{call.name} uses the batch size as a number")

    def evaluate(*tensors: Tensor) -> Any:
        args, kwargs = _filled((operation.args, operation.kwargs), dict(zip(indices, tensors, strict=True)))
        return function(*args, **kwargs)

    read = [views[index] for index in indices]
    literals = [low.program.literal(x.rows) for x in read]
    if all(literal is not None for literal in literals):
        tensors = [
            torch.tensor(literal, dtype=x.dtype, device="cpu")
            for literal, x in zip(literals, read, strict=True)
        ]
        literal_views = [_literal(low, result) for result in _listed(evaluate(*tensors))]
        return [view.showing(view.positions, call.axis) for view in literal_views]
    inputs = [low.register(x.rows, x.dtype) for x in read]
    if not call.shapes:
        low.prologue.check(evaluate, inputs)
    what = _described(operation, indices)
    results = []
    for position, (shape, dtype) in enumerate(zip(call.shapes, call.dtypes, strict=True)):

        def result(*tensors: Tensor, position: int = position) -> Tensor:
            return _listed(evaluate(*tensors))[position]

        key = None if what is None else (what, position)
        register = low.prologue.apply(result, inputs, per_trajectory(shape), call.name, key)
        view = low.from_register(register, dtype)
        results.append(view.showing(view.positions, batch_axis(shape)))
    return results


def _described(operation: Operation, indices: Sequence[int]) -> str | None:
    """What an operation does to its tensors, which are left out; None where words do not say it all."""
    places = {index: f"tensor {place}" for place, index in enumerate(indices)}
    arguments = _filled((operation.args, operation.kwargs), places)
    # Not all of a tensor is in its description.
    if any(isinstance(leaf, Tensor) for leaf in leaves(arguments)):
        return None
    return f"{operation.op} {arguments}"


def _functional(op: torch._ops.OpOverload, name: str) -> Any:
    if not op._schema.is_mutable:
        return op
    packet = getattr(torch.ops.aten, name, None)
    # By its arguments: what writes may be called otherwise.
    for overload in packet.overloads() if packet is not None else ():
        other = getattr(packet, overload)
        if not other._schema.is_mutable and _arguments(other) == _arguments(op):
            return other
    raise Unsupported(f"aten.{name}_ has no form without in-place writing")


def _arguments(op: torch._ops.OpOverload) -> list[tuple[str, str]]:
    return [(argument.name, str(argument.type)) for argument in op._schema.arguments]


def _bind(operation: Operation, views: Mapping[int, View | Sparse]) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    for position, argument in enumerate(operation.op._schema.arguments):
        if position < len(operation.args):
            value = operation.args[position]
        elif argument.name in operation.kwargs:
            value = operation.kwargs[argument.name]
        else:
            value = argument.default_value if argument.has_default_value() else None
        if not isinstance(value, Ref) or reads(operation):
            bound[argument.name] = _filled(value, views)
    return bound


def _filled(item: Any, given: Mapping[int, Any]) -> Any:
    """``item`` with every ``Ref`` replaced by what is given for its index."""

    def filled(leaf: Any) -> Any:
        if not isinstance(leaf, Ref):
            return leaf
        if leaf.index not in given:
            raise Unsupported("it uses a secondary result of an operation")
        return given[leaf.index]

    return mapped(filled, item)


def _listed(result: Any) -> list[Tensor]:
    """The tensors that an operation returns, without the None of gradients that were not asked for."""
    results = result if isinstance(result, (list, tuple)) else [result]
    return [tensor for tensor in results if tensor is not None]
