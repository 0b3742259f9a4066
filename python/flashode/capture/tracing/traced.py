"""What a trace holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flashode.declined import Place, Reason


@dataclass(frozen=True)
class Ref:
    """The place of a traced tensor in an operation's arguments."""

    index: int


@dataclass(frozen=True)
class Batch:
    """The number ``multiple * batch size``."""

    multiple: int


Shape = tuple[int | Batch, ...]


@dataclass(frozen=True)
class TracedValue:
    """A tensor that tracing met.

    Attributes:
        origin: ``"t"``, ``"y"``, ``"slot"`` (a tensor the function owns), ``"literal"`` (made from Python
            numbers) or ``"result"`` (of an operation).
        slot: which watched tensor, for a slot.
        literal: a copy of its content, for a literal.
    """

    shape: Shape
    dtype: torch.dtype
    origin: str
    slot: int | None = None
    literal: Tensor | None = None


@dataclass(frozen=True)
class Operation:
    """One recorded call: ``args`` and ``kwargs`` hold a ``Ref`` where a tensor stood.

    Attributes:
        where: the user's line.
        module: the innermost module that was being called, as its user knows it.
        refused: whether a Program cannot repeat it, as a reason of the trace says.
    """

    op: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[int, ...]
    where: Place | None
    module: str
    refused: bool = False


@dataclass(frozen=True)
class Trace:
    """What one call of the function did, or two; of two, numbers and shapes may be ``Batch`` multiples.

    Attributes:
        outputs: the values that it returned, by component; none where the trace had to end before.
        reasons: what it did that a Program cannot repeat.
        assumptions: conditions, and what they are wherever the function does not raise.
        steps: by how much it counts up in tensors of its own, by slot.
        asked: whether it asked for requires_grad of a tensor that depends on t or y.
    """

    values: tuple[TracedValue, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[int, ...]
    reasons: tuple[Reason, ...] = ()
    asked: bool = False
    steps: tuple[tuple[int, float], ...] = ()
    assumptions: tuple[tuple[int, bool], ...] = ()


def refs_in(item: Any) -> Iterator[Ref]:
    """Every ``Ref`` in nested arguments."""
    return (leaf for leaf in leaves(item) if isinstance(leaf, Ref))


def leaves(item: Any) -> Iterator[Any]:
    """What nested arguments hold."""
    if isinstance(item, dict):
        item = tuple(item.values())
    if isinstance(item, (list, tuple)):
        for value in item:
            yield from leaves(value)
    else:
        yield item


def mapped(function: Callable[[Any], Any], item: Any) -> Any:
    """Nested arguments with ``function`` applied to what they hold."""
    if isinstance(item, dict):
        return {key: mapped(function, value) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return type(item)([mapped(function, value) for value in item])
    return function(item)
