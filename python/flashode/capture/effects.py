"""Calling a user's function without leaving a trace of the call.

Capturing calls the function a few times more than the solve does. Whatever such a call changes is put back,
and makes the function unfit for capture, except a counter: an integer attribute that grows by the same amount
in each call and is used for nothing else.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from flashode.capture.bytecode import only_counts
from flashode.capture.guard_code import Owner
from flashode.capture.refusal import Refusal
from flashode.capture.relevance import REFLECTION
from flashode.capture.watched import Container, Watched

T = TypeVar("T")


class Effects:
    """Runs calls of one function and undoes what they change.

    Attributes:
        counters: the counters found, ``(variable of the owner, attribute) -> amount for each call``; None
            before the first call.
        changed: where something changed, as the checks name it.
    """

    def __init__(self, watched: Watched) -> None:
        self.counters: dict[Owner, int] | None = None
        self.changed: set[Owner] = set()
        self._watched = watched
        self._containers = {id(container.held): container for container in watched.containers}.values()

    def undone(self, call: Callable[[], T]) -> T:
        """The result of ``call``, whose effects are undone.

        Raises:
            Refusal: the call changed something that is not a counter.
        """
        before = [_content(container.held) for container in self._containers]
        tensors = [(x, x._version, x.grad if x.is_leaf else None) for x in self._watched.tensors]
        try:
            with warnings.catch_warnings():
                # Ignored ones leave no mark, so that the user still gets to see each when it is due.
                warnings.simplefilter("ignore")
                result = call()
        finally:
            changes = [
                change
                for container, content in zip(self._containers, before, strict=True)
                for change in _restored(container, content)
            ]
            self._note(changes)
            gradients = [_gradient_restored(tensor, gradient) for tensor, _, gradient in tensors]
        # Not among what is done finally: an interrupt or a refusal on its way must not be replaced.
        self._settle(changes)
        if any(gradients):
            raise Refusal("it changes the .grad of a tensor that it owns")
        if any(tensor._version != version for tensor, version, _ in tensors):
            raise Refusal("it changes a tensor that it owns in place")
        return result

    def _note(self, changes: list[tuple[Container, Any, Any, Any]]) -> None:
        for container, key, _, _ in changes:
            if container.attributes_of is not None:
                self.changed.add((container.attributes_of, key))
            elif container.owner is not None:
                self.changed.add(container.owner)

    def _settle(self, changes: list[tuple[Container, Any, Any, Any]]) -> None:
        counters: dict[Owner, int] = {}
        reflects = not self._watched.names.isdisjoint(REFLECTION - {"hasattr"})
        for container, key, old, new in changes:
            if container.attributes_of is None or type(old) is not int or type(new) is not int:
                what = f"{container.label}.{key}" if isinstance(key, str) else container.label
                raise Refusal(f"it changes {what}")
            counters[container.attributes_of, key] = new - old
            if reflects or not all(only_counts(code, key) for code in self._watched.codes):
                raise Refusal(f"the counter {container.label}.{key} is used for more than counting")
        if self.counters not in (None, counters):
            raise Refusal("its counters grow unevenly from call to call")
        self.counters = counters


def _gradient_restored(tensor: Tensor, gradient: Tensor | None) -> bool:
    if not tensor.is_leaf or tensor.grad is gradient:
        return False
    tensor.grad = gradient
    return True


def _content(held: Any) -> Any:
    if isinstance(held, types.CellType):
        return held.cell_contents
    if isinstance(held, type):
        return dict(held.__dict__)
    return held.copy()


def _restored(container: Container, content: Any) -> list[tuple[Container, Any, Any, Any]]:
    """Puts the content back; what differed, as (container, key, old, new)."""
    held = container.held
    missing = object()
    if isinstance(held, types.CellType):
        now = held.cell_contents
        if now is content:
            return []
        held.cell_contents = content
        return [(container, None, content, now)]
    if isinstance(held, (list, set)):
        same = len(held) == len(content) and all(a is b for a, b in zip(held, content, strict=False))
        if same or (isinstance(held, set) and held == content):
            return []
        held.clear()
        held.extend(content) if isinstance(held, list) else held.update(content)
        return [(container, None, missing, missing)]
    now = dict(held.__dict__) if isinstance(held, type) else dict(held)
    changed = [
        (container, key, content.get(key, missing), now.get(key, missing))
        for key in {**content, **now}
        if content.get(key, missing) is not now.get(key, missing)
    ]
    for _, key, old, _ in changed:
        _put_back(held, key, old, missing)
    return changed


def _put_back(held: Any, key: Any, old: Any, missing: object) -> None:
    if isinstance(held, type):
        delattr(held, key) if old is missing else setattr(held, key, old)
    elif old is missing:
        del held[key]
    else:
        held[key] = old
