"""From two traces at different batch sizes to one that holds for every batch size.

Nothing marks the batch axis in a trace. Calling the function at two batch sizes does: whatever grows in
proportion is a multiple of the batch, and whatever else differs shows that the function is not row-wise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from flashode.capture.guards.sparse import Content
from flashode.capture.refusal import Mixing, Refusal, Unsteady
from flashode.capture.tracing.traced import Batch, Operation, Ref, Shape, Trace, TracedValue, mapped

_CUTS = (torch.ops.aten.detach.default, torch.ops.aten.detach_copy.default)


@dataclass(frozen=True)
class _Pairing:
    sizes: tuple[int | None, int] | None

    @property
    def changing(self) -> str:
        """What is to be said of operations that differ."""
        also = "" if self.sizes is None else ", or with the batch size"
        return f"its operations change from call to call{also}"

    def number(self, a: int | Batch, b: int | Batch) -> int | Batch:
        if a == b:
            return a
        if self.sizes is not None:
            size, other = self.sizes
            if isinstance(a, Batch):
                multiple, rest = a.multiple, 0
            else:
                multiple, rest = divmod(a, size) if size else (0, a)
            if rest == 0 and multiple * other == b:
                return Batch(multiple)
        raise Mixing(f"the number {b} in it changes with the batch size in an unknown way")

    def shape(self, a: Shape, b: Shape) -> Shape:
        if len(a) != len(b):
            raise Mixing("the number of dimensions changes with the batch size")
        shape = tuple(map(self.number, a, b))
        if sum(isinstance(dim, Batch) for dim in shape) > 1:
            raise Mixing("a tensor in it has two batch dimensions")
        return shape

    def value(self, a: TracedValue, b: TracedValue) -> TracedValue:
        shape = self.shape(a.shape, b.shape)
        if (a.dtype, a.origin, a.slot) != (b.dtype, b.origin, b.slot):
            raise Unsteady(self.changing)
        if not _same(a.literal, b.literal):
            raise Unsteady("a tensor that it makes from Python numbers changes from call to call")
        return replace(a, shape=shape)

    def literal(self, a: Any, b: Any) -> Any:
        if isinstance(a, Batch) and type(b) is int:
            return self.number(a, b)
        if type(a) is not type(b):
            raise Unsteady(self.changing)
        if isinstance(a, (list, tuple)):
            if len(a) != len(b):
                raise Unsteady(self.changing)
            return type(a)([self.literal(x, y) for x, y in zip(a, b, strict=True)])
        if isinstance(a, dict):
            if a.keys() != b.keys():
                raise Unsteady(self.changing)
            return {key: self.literal(a[key], b[key]) for key in a}
        if type(a) is int:
            return self.number(a, b)
        # 0.0 equals -0.0, and NaN does not equal itself.
        if repr(a) == repr(b) if isinstance(a, (float, complex)) else a == b:
            return a
        raise Unsteady(f"the constant {a} in it changes from call to call")

    def operation(self, a: Operation, b: Operation) -> Operation:
        if a.op is not b.op or a.outputs != b.outputs:
            raise Refusal(*Unsteady(self.changing).within(a.where, a.module))
        try:
            args, kwargs = self.literal(a.args, b.args), self.literal(a.kwargs, b.kwargs)
        except Refusal as refusal:
            raise Refusal(*refusal.within(a.where, a.module)) from None
        return replace(a, args=args, kwargs=kwargs)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    if a.layout is not torch.strided:
        return Content(a).same(b)
    return a.shape == b.shape and torch.equal(_bytes(a), _bytes(b))


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def pair(first: Trace, second: Trace, sizes: tuple[int | None, int] | None) -> Trace:
    """Merges two traces at different values of ``t`` and ``y``, or refuses what differs but in batch size.

    The first may be of two traces already. Sizes are those of the batch, None for what two have made; None
    altogether if there is no batch axis.
    """
    pairing = _Pairing(sizes)
    if len(first.operations) != len(second.operations) or len(first.values) != len(second.values):
        raise Unsteady(pairing.changing)
    if first.outputs != second.outputs:
        raise Unsteady(pairing.changing)
    if first.steps != second.steps:
        raise Unsteady("what it counts in its tensors changes from call to call")
    if first.assumptions != second.assumptions:
        raise Unsteady(pairing.changing)
    operations = tuple(map(pairing.operation, first.operations, second.operations))
    values = tuple(map(pairing.value, first.values, second.values))
    return Trace(values, operations, first.outputs, steps=first.steps, assumptions=first.assumptions)


def same_values(first: Trace, second: Trace) -> bool:
    """Whether two traces of one call compute the same, wherever gradients are cut off."""
    try:
        pair(_uncut(first), _uncut(second), None)
    except Refusal:
        return False
    return True


def _uncut(traced: Trace) -> Trace:
    """A trace without the operations that cut gradients off."""
    cuts = [operation for operation in traced.operations if operation.op in _CUTS]
    instead = {operation.outputs[0]: operation.args[0].index for operation in cuts}
    kept = [index for index in range(len(traced.values)) if index not in instead]
    places = {index: place for place, index in enumerate(kept)}
    for cut, index in instead.items():
        places[cut] = places[index]

    def moved(item: Any) -> Any:
        return Ref(places[item.index]) if isinstance(item, Ref) else item

    operations = [
        replace(
            operation,
            args=mapped(moved, operation.args),
            kwargs=mapped(moved, operation.kwargs),
            outputs=tuple(places[index] for index in operation.outputs),
        )
        for operation in traced.operations
        if operation.op not in _CUTS
    ]
    values = tuple(traced.values[index] for index in kept)
    outputs = tuple(places[index] for index in traced.outputs)
    assumptions = tuple((places[index], holds) for index, holds in traced.assumptions)
    return Trace(values, tuple(operations), outputs, steps=traced.steps, assumptions=assumptions)
