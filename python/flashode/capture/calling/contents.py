"""What mutable things hold, and putting it back after a call has changed it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from flashode.capture.guards.relevance import slots_of
from flashode.capture.guards.watched import Container

MISSING: Any = object()


class Change(NamedTuple):
    """What a call changed in a container.

    The key is None if it did not change in single places; ``MISSING`` stands for nothing.
    """

    container: Container
    key: Any
    old: Any = MISSING
    new: Any = MISSING


def content(container: Container) -> Any:
    """What a container holds now, to be given to ``restored``."""
    held = container.held
    if container.places is not None:
        space = held.__dict__ if isinstance(held, type) else held
        return {key: space[key] for key in container.places if key in space}
    return held.copy() if isinstance(held, (dict, list, set, np.ndarray)) else _places(held)


def restored(container: Container, before: Any) -> list[Change]:
    """Puts back what a container held; returns what was different."""
    held = container.held
    if isinstance(held, np.ndarray):
        if held.tobytes() == before.tobytes():
            return []
        held[...] = before
        return [Change(container, None)]
    if isinstance(held, set):
        if held == before:
            return []
        held.clear()
        held.update(before)
        return [Change(container, None)]
    if isinstance(held, list):
        now, held[:] = held.copy(), before
        if len(now) != len(before):
            return [Change(container, None)]
        pairs = enumerate(zip(before, now, strict=True))
        return [Change(container, key, old, new) for key, (old, new) in pairs if old is not new]
    now = content(container)
    changes = [
        Change(container, key, before.get(key, MISSING), now.get(key, MISSING))
        for key in {**before, **now}
        if before.get(key, MISSING) is not now.get(key, MISSING)
    ]
    for change in changes:
        put(held, change.key, change.old)
    if isinstance(held, dict) and container.places is None and list(held) != list(before):
        # The same in another order.
        held.clear()
        held.update(before)
        changes.append(Change(container, None))
    return changes


def _places(held: Any) -> dict[Any, Any]:
    if isinstance(held, types.CellType):
        return {} if held == types.CellType() else {"cell_contents": held.cell_contents}
    if isinstance(held, type):
        return dict(held.__dict__)
    places = {}
    for name in slots_of(type(held)):
        try:
            places[name] = object.__getattribute__(held, name)
        except AttributeError:
            continue
    return places


def put(held: Any, key: Any, old: Any) -> None:
    """Puts something at a place of what holds it; ``MISSING`` takes it away."""
    if isinstance(held, dict):
        if old is MISSING:
            del held[key]
        else:
            held[key] = old
    elif isinstance(held, (type, types.CellType)):
        delattr(held, key) if old is MISSING else setattr(held, key, old)
    elif old is MISSING:
        object.__delattr__(held, key)
    else:
        # Whatever the class does when attributes are set.
        object.__setattr__(held, key, old)


class TensorContent:
    """The memory that a tensor names and what autograd keeps with it, as they are now.

    Its numbers are not copied: who writes into them is found out, and has to be kept from it by others.
    """

    def __init__(self, tensor: Tensor, counted: bool = False) -> None:
        """Looks at a tensor; ``counted``: one that the function counts in, whose number is put back."""
        self._tensor = tensor
        self._number = tensor.detach().clone() if counted else None
        # Another name of the same memory, which thereby is not freed and used again.
        self._memory = tensor.data
        self._version = tensor._version
        self._tracked = tensor.requires_grad
        self._gradient = tensor.grad if tensor.is_leaf else None

    def restored(self) -> Iterator[str]:
        """Puts back what has been changed since, as far as that is possible; says what it was."""
        tensor = self._tensor
        moved = _place(tensor) != _place(self._memory)
        if moved:
            tensor.data = self._memory
            yield "it puts other memory behind a tensor that it owns"
        if tensor.requires_grad is not self._tracked:
            tensor.requires_grad_(self._tracked)
            yield "it changes requires_grad of a tensor that it owns"
        if tensor.is_leaf and tensor.grad is not self._gradient:
            tensor.grad = self._gradient
            yield "it changes the .grad of a tensor that it owns"
        if self._number is not None:
            tensor.data.copy_(self._number)
            torch._C._autograd._unsafe_set_version_counter((tensor,), (self._version,))
        elif tensor._version != self._version:
            yield "it changes a tensor that it owns in place"


def _place(tensor: Tensor) -> Any:
    """What tells the memory that a tensor names from any other."""
    memory = tensor.untyped_storage()._cdata
    return memory, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
