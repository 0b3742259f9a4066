"""What mutable things hold, and putting it back after a call has changed it."""

from __future__ import annotations

import types
from typing import Any, NamedTuple

import numpy as np

from flashode.capture.guards.relevance import slots_of
from flashode.capture.guards.watched import Container

MISSING: Any = object()


class Change(NamedTuple):
    """What a call changed in a container.

    Attributes:
        container: where.
        key: the place in it; None if it changed otherwise than in single places.
        old: what was there; ``MISSING`` for nothing.
        new: what was there after the call.
    """

    container: Container
    key: Any
    old: Any = MISSING
    new: Any = MISSING


def content(container: Container) -> Any:
    """What a container holds now, to be given to ``restored``."""
    held = container.held
    if isinstance(held, dict) and container.places is not None:
        return {key: held[key] for key in container.places if key in held}
    if isinstance(held, (dict, list, set, np.ndarray)):
        return held.copy()
    if isinstance(held, type) and container.places is not None:
        return {name: held.__dict__[name] for name in container.places if name in held.__dict__}
    return _places(held)


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
        return _list_restored(container, held, before)
    now = content(container)
    changes = [
        Change(container, key, before.get(key, MISSING), now.get(key, MISSING))
        for key in {**before, **now}
        if before.get(key, MISSING) is not now.get(key, MISSING)
    ]
    for change in changes:
        _put_back(held, change.key, change.old)
    if isinstance(held, dict) and container.places is None and list(held) != list(before):
        # The same in another order.
        held.clear()
        held.update(before)
        changes.append(Change(container, None))
    return changes


def _list_restored(container: Container, held: list[Any], before: list[Any]) -> list[Change]:
    if len(held) != len(before):
        held[:] = before
        return [Change(container, None)]
    pairs = enumerate(zip(before, held, strict=True))
    changes = [Change(container, key, old, new) for key, (old, new) in pairs if old is not new]
    held[:] = before
    return changes


def _places(held: Any) -> dict[Any, Any]:
    if isinstance(held, types.CellType):
        return {} if held == types.CellType() else {"cell_contents": held.cell_contents}
    if isinstance(held, type):
        return dict(held.__dict__)
    found = {}
    for name in slots_of(type(held)):
        try:
            found[name] = object.__getattribute__(held, name)
        except AttributeError:
            continue
    return found


def _put_back(held: Any, key: Any, old: Any) -> None:
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
