"""Numbers that change from solve to solve: each would be traced anew, at many times the cost of a solve."""

from __future__ import annotations

import types
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

from flashode.capture.cache import Entry, Key
from flashode.capture.lowering.lower import Lowered
from flashode.capture.watching.guard_code import Bound, Check
from flashode.capture.watching.watched import Watched
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
    """An entry that declines a field, whatever the values of its numbers, if it was traced for many values.

    Args:
        func: the field.
        key: of this solve.
        watched: what the field hangs on.
        entries: earlier captures.
    """
    own = origin(func)
    made = own() if own is not None else None
    skeleton = watched.code.skeleton
    similar = [
        e for e in entries if e.skeleton == skeleton and e.serves(key) and isinstance(e.lowered, Lowered)
    ]
    alike = [e for e in similar if made is not None and e.origin is not None and e.origin() is made]
    only = own
    if len(alike) < MAX_VALUES:
        alike = [e for e in similar if e.origin is None or e.origin() in (None, made)]
        if not isinstance(made, types.FunctionType) or len(alike) < MAX_VALUES_AFRESH:
            return None
        only = None
    counters = {owner for entry in alike for owner, _ in entry.counters}
    changed = [
        (owner, label)
        for owner, label in watched.numbers
        if owner not in counters and 2 * len({e.numbers.get((owner, label)) for e in alike}) > len(alike)
    ]
    if not changed:
        return None
    names = ", ".join(dict.fromkeys(label for _, label in changed))
    reason = Reason(
        f"{names} changes from solve to solve, and each value would be captured anew",
        "keep it in a 0-d tensor or a buffer, which is read at every solve",
        watched.line(changed[0][1]),
    )
    check = watched.code.compile(dropped={*watched.idle, *counters, *(owner for owner, _ in changed)})
    check = check if only is None else _of_one(check, only)
    return Entry(key, check, Declined(reason), batched=True)


def _of_one(check: Check, only: weakref.ref[Any]) -> Check:
    def checked(func: Any) -> Bound | None:
        own = origin(func)
        return check(func) if own is not None and own() is only() else None

    return checked
