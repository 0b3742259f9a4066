"""From the graph of ATen operations to a Program and its prologue."""

from __future__ import annotations

import linecache
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flashode.capture.pairing import Batch, Graph, GraphValue
from flashode.capture.prologue import Prologue
from flashode.capture.refusal import Refusal
from flashode.capture.rules import FILLED, RULES, STRUCTURE
from flashode.capture.rules.context import Call, Lowering, View, batch_axis, per_trajectory
from flashode.capture.rules.structure import write
from flashode.capture.trace import Operation, Ref, refs_in
from flashode.program import Program

# A larger literal is kept as a tensor, which a kernel reads in place.
MAX_LITERAL_ROWS = 4096


@dataclass(frozen=True)
class Lowered:
    """A Program and what makes its parameters."""

    program: Program
    prologue: Prologue


def lower(graph: Graph, y: Tensor, slots: Sequence[Tensor]) -> Lowered:
    """Lowers a graph.

    Args:
        graph: the field; its ``y`` has a batch axis at the front, or none.
        y: a state, for its dtype and device.
        slots: the tensors that the field owns.

    Raises:
        Refusal: an operation has no row-wise meaning or is not known; names it and the user's line.
    """
    (state,) = (value.shape for value in graph.values if value.origin == "y")
    low = Lowering(math.prod(per_trajectory(state)), y.dtype, y.device, slots)
    views: dict[int, View] = {}
    for index, value in enumerate(graph.values):
        if value.origin != "result":
            views[index] = _source(low, value)
    for operation in _needed(graph):
        try:
            _lower_operation(low, graph, operation, views)
        except Refusal as refusal:
            raise Refusal(f"{refusal}{_at(operation)}") from None
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            # A use of the operation that its rule does not foresee; the function still runs eagerly.
            name = operation.op._schema.name.replace("::", ".")
            raise Refusal(f"this use of {name} is not supported: {error}{_at(operation)}") from error
    output = views[graph.output]
    if output.shape != state:
        raise Refusal("the value it returns does not keep the batch axis of y")
    program, parameters = low.program.finish(output.rows)
    return Lowered(program, low.prologue.finish([low.registers[index] for index in parameters]))


def _source(low: Lowering, value: GraphValue) -> View:
    shape, axis = per_trajectory(value.shape), batch_axis(value.shape)
    if value.origin == "t":
        return low.new(low.program.value(0).reshape(()), None)
    if value.origin == "y":
        return low.new(low.program.value(1).reshape(shape), axis)
    if axis is not None:
        raise Refusal("a tensor that it owns changes with the batch size")
    if value.slot is not None:
        return low.from_register(low.prologue.slot(value.slot, shape), value.dtype)
    assert value.literal is not None
    return _literal(low, value.literal)


def _literal(low: Lowering, tensor: Tensor) -> View:
    if tensor.is_complex():
        raise Refusal("it uses complex numbers")
    if tensor.numel() > MAX_LITERAL_ROWS:
        key = (tensor.dtype, tensor.shape, tensor.cpu().numpy().tobytes())
        return low.from_register(low.prologue.literal(key, tensor.to(low.device)), tensor.dtype)
    return low.new(low.program.constant(tensor.double().cpu().numpy()), None, tensor.dtype)


def _needed(graph: Graph) -> list[Operation]:
    """The operations that the output depends on; those that write in place are kept whole."""
    needed = {graph.output}
    kept: list[Operation] = []
    for operation in reversed(graph.operations):
        if operation.op._schema.is_mutable or not needed.isdisjoint(operation.outputs):
            kept.append(operation)
            needed.update(ref.index for ref in _read(operation))
    return kept[::-1]


def _read(operation: Operation) -> list[Ref]:
    """The tensors whose values an operation reads."""
    name = operation.op._schema.name.removeprefix("aten::")
    return [] if name in FILLED else list(refs_in((operation.args, operation.kwargs)))


def _lower_operation(low: Lowering, graph: Graph, operation: Operation, views: dict[int, View]) -> None:
    schema = operation.op._schema
    name = schema.name.removeprefix("aten::")
    if schema.is_mutable:
        name = name.removesuffix("_")
    outputs = [graph.values[index] for index in operation.outputs]
    arguments = _bind(operation, views)
    call = Call(name, arguments, tuple(v.shape for v in outputs), tuple(v.dtype for v in outputs))
    results = _results(low, operation, call, views)
    for index, value, view in zip(operation.outputs, outputs, results, strict=False):
        if view.shape != value.shape:
            raise Refusal(f"aten.{name} treats the batch axis like another axis")
        if view.dtype != value.dtype or (value.dtype != low.dtype and not low.program.is_static(view.rows)):
            raise Refusal(f"aten.{name} makes {value.dtype} of a {low.dtype} state")
        views[index] = view


def _results(low: Lowering, operation: Operation, call: Call, views: dict[int, View]) -> Sequence[View]:
    op = operation.op
    tensors = [views[ref.index] for ref in _read(operation)]
    moves_only = call.name in STRUCTURE and not (call.name == "_to_copy" and _casts(call))
    if not moves_only and call.name not in FILLED and call.axis is None and all(map(low.is_static, tensors)):
        results = _evaluated_before(low, operation, call, views)
    elif call.name in RULES:
        made = RULES[call.name](low, call)
        results = [made] if isinstance(made, View) else list(made)
    else:
        raise Refusal(f"aten.{call.name} is not supported")
    writes = op._schema.is_mutable and torch.Tag.inplace_view not in op.tags
    if writes and call.name not in ("copy", "index_put"):
        return [write(low, call["self"], results[0])]
    return results


def _casts(call: Call) -> bool:
    return bool(call["self"].dtype != call.dtypes[0])


def _evaluated_before(
    low: Lowering, operation: Operation, call: Call, views: dict[int, View]
) -> Sequence[View]:
    """An operation on the field's own tensors: torch's at each solve, or done now if all are literals."""
    function = _functional(operation.op, call.name)
    references = list(dict.fromkeys(refs_in((operation.args, operation.kwargs))))
    if any(isinstance(item, Batch) for item in _leaves((operation.args, operation.kwargs))):
        raise Refusal(f"aten.{call.name} uses the batch size as a number")

    def evaluate(*tensors: Tensor) -> Any:
        given = dict(zip(references, tensors, strict=True))
        return function(*_replace(operation.args, given), **_replace(operation.kwargs, given))

    literals = [low.program.literal(views[ref.index].rows) for ref in references]
    if all(literal is not None for literal in literals):
        dtypes = [views[ref.index].dtype for ref in references]
        tensors = [torch.tensor(literal, dtype=d) for literal, d in zip(literals, dtypes, strict=True)]
        return [_literal(low, result) for result in _listed(evaluate(*tensors))]
    inputs = [low.register(views[ref.index].rows, views[ref.index].dtype) for ref in references]
    results = []
    for position, (shape, dtype) in enumerate(zip(call.shapes, call.dtypes, strict=True)):

        def result(*tensors: Tensor, position: int = position) -> Tensor:
            return _listed(evaluate(*tensors))[position]

        register = low.prologue.apply(result, inputs, per_trajectory(shape))
        results.append(low.from_register(register, dtype))
    return results


def _functional(op: torch._ops.OpOverload, name: str) -> Any:
    if not op._schema.is_mutable:
        return op
    packet = getattr(torch.ops.aten, name, None)
    overload = getattr(packet, op._overloadname, None)
    if overload is None:
        raise Refusal(f"aten.{name}_ has no form without in-place writing")
    return overload


def _bind(operation: Operation, views: dict[int, View]) -> dict[str, Any]:
    bound: dict[str, Any] = {}
    for position, argument in enumerate(operation.op._schema.arguments):
        if position < len(operation.args):
            given = operation.args[position]
        elif argument.name in operation.kwargs:
            given = operation.kwargs[argument.name]
        else:
            given = argument.default_value if argument.has_default_value() else None
        if argument.name != "self" or not isinstance(given, Ref) or _read(operation):
            bound[argument.name] = _replace(given, views, by_index=True)
    return bound


def _replace(item: Any, given: dict[Any, Any], by_index: bool = False) -> Any:
    """``item`` with every ``Ref`` replaced by what is given for it."""
    if isinstance(item, Ref):
        key = item.index if by_index else item
        if key not in given:
            raise Refusal("it uses a secondary result of an operation")
        return given[key]
    if isinstance(item, (list, tuple)):
        return type(item)([_replace(entry, given, by_index) for entry in item])
    if isinstance(item, dict):
        return {name: _replace(entry, given, by_index) for name, entry in item.items()}
    return item


def _leaves(item: Any) -> Sequence[Any]:
    if isinstance(item, (list, tuple)):
        return [leaf for entry in item for leaf in _leaves(entry)]
    if isinstance(item, dict):
        return _leaves(list(item.values()))
    return [item]


def _listed(result: Any) -> list[Tensor]:
    return list(result) if isinstance(result, (list, tuple)) else [result]


def _at(operation: Operation) -> str:
    if operation.where is None:
        return ""
    filename, number = operation.where
    source = linecache.getline(filename, number).strip()
    return f" ({filename}:{number}{': ' if source else ''}{source})"
