"""Numbers that change from solve to solve: each would be traced anew, at many times the cost of a solve."""

from __future__ import annotations

import types
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

from flashode.capture.cache import Entry, Key
from flashode.capture.guards.guard_code import Bound, Check
from flashode.capture.guards.watched import Watched
from flashode.capture.lowering.lower import Lowered
from flashode.declined import Declined, Reason

MAX_VALUES = 8
# A function made afresh for each solve cannot be told from several functions, each for many solves.
MAX_VALUES_AFRESH = 24


def origin(func: Any) -> weakref.ref[Any] | None:
    """The object or function behind ``func``, weakly; None where it allows no weak reference."""
    while isinstance(func, (partial, types.MethodType)):
        func = func.func if isinstance(func, partial) else func.__self__
    try:
        return weakref.ref(func)
    except TypeError:
        return None


def unsteady(func: Any, key: Key, watched: Watched, entries: Sequence[Entry]) -> Entry | None:
    """An entry that declines a field whatever the values of its numbers, if it was traced for many values."""
    own = origin(func)
    owner = own() if own is not None else None
    skeleton = watched.code.skeleton
    similar = [
        e for e in entries if e.skeleton == skeleton and e.serves(key) and isinstance(e.lowered, Lowered)
    ]
    values = [e for e in similar if owner is not None and e.origin is not None and e.origin() is owner]
    only = own
    if len(values) < MAX_VALUES:
        values = [e for e in similar if e.origin is None or e.origin() in (None, owner)]
        if not isinstance(owner, types.FunctionType) or len(values) < MAX_VALUES_AFRESH:
            return None
        only = None
    counters = {place for entry in values for place, _ in entry.counters}
    changed = [
        (place, label)
        for place, label in watched.numbers
        if place not in counters and 2 * len({e.numbers.get((place, label)) for e in values}) > len(values)
    ]
    if not changed:
        return None
    names = ", ".join(dict.fromkeys(label for _, label in changed))
    reason = Reason(
        f"{names} changes from solve to solve, and each value would be captured anew",
        "keep it in a 0-d tensor or a buffer, which is read at every solve",
        watched.line(changed[0][1]),
    )
    check = watched.code.compile(dropped={*watched.idle, *counters, *(place for place, _ in changed)})
    check = check if only is None else _of_one(check, only)
    return Entry(key, check, Declined(reason), batched=True)


def _of_one(check: Check, only: weakref.ref[Any]) -> Check:
    def checked(func: Any) -> Bound | None:
        own = origin(func)
        return check(func) if own is not None and own() is only() else None

    return checked
