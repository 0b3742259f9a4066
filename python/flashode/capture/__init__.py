"""Capture: from the user's function to a Program that stays true, or a reason why not."""

from __future__ import annotations

import sys
import threading

import torch
from torch import Tensor

from flashode.capture.cache import Cache, Entry, Key
from flashode.capture.captured import Capture
from flashode.capture.changing import origin, unsteady
from flashode.capture.environment import obstacle
from flashode.capture.guard_code import Bound
from flashode.capture.guards import watch
from flashode.capture.making import Field, confirm, make
from flashode.capture.refusal import Refusal
from flashode.declined import Declined

__all__ = ["Capture", "capture"]

MAX_DOUBTS = 3

_cache = Cache()
# One capture at a time: while one thread calls a function and undoes the effects, another must not.
_making = threading.RLock()


def capture(func: Field, t: Tensor, y0: Tensor) -> Capture | Declined:
    """Captures a vector field, or finds an earlier capture that still holds.

    The function may be called a few times; nothing it does then can be noticed afterwards.

    Args:
        func: ``func(t, y) -> dy/dt``.
        t: a time at which the field is defined, 0-d, in y0's dtype.
        y0: a state at which it is defined, float32 or float64, of any shape.

    Returns:
        the capture, bound to the function's tensors as they are now, or the reason why there is none.
    """
    reason = obstacle(y0)
    if reason is not None:
        return Declined(reason)
    key = Key.of(y0)
    entries = _cache.entries(func)
    found = _found(entries, key, func, t, y0)
    if found is not None:
        return found
    with _making:
        # Another thread may have made it meanwhile.
        found = _found(entries, key, func, t, y0)
        return _made(entries, key, func, t, y0) if found is None else found


def _found(entries: list[Entry], key: Key, func: Field, t: Tensor, y0: Tensor) -> Capture | Declined | None:
    for position, entry in enumerate(tuple(entries)):
        bound = entry.check(func) if entry.serves(key) else None
        if bound is not None:
            if position:
                _cache.use(entries, entry)
            return _bound(entry, bound, func, t, y0)
    return None


def _made(entries: list[Entry], key: Key, func: Field, t: Tensor, y0: Tensor) -> Capture | Declined:
    with torch.inference_mode(False):
        try:
            watched = watch(func)
        except Refusal as refusal:
            # Not kept: where something cannot be watched, nothing would tell that the reason is gone.
            return Declined(str(refusal))
        entry = unsteady(func, key, watched, entries)
        if entry is None:
            entry = make(func, watched, _plain(t), _plain(y0))
            entry.doubtful = isinstance(entry.lowered, Declined) and _doubtful(entries, func)
            entry.origin, entry.skeleton = origin(func), watched.code.skeleton
            entry.numbers = watched.numbers
    _cache.use(entries, entry)
    bound = entry.check(func)
    return Declined("what it depends on changes by itself") if bound is None else entry.bind(bound)


def _doubtful(entries: list[Entry], func: Field) -> bool:
    """Whether a reason may be another thread's doing, so that the next solve should try again."""
    if _alone():
        return False
    earlier = [entry for entry in entries if entry.doubtful and entry.check(func) is not None]
    return len(earlier) < MAX_DOUBTS - 1


def _alone() -> bool:
    """Whether no other thread runs Python code that could change something during a capture."""
    return len(sys._current_frames()) == 1


def _bound(entry: Entry, bound: Bound, func: Field, t: Tensor, y0: Tensor) -> Capture | Declined:
    found = entry.bind(bound)
    if not isinstance(found, Capture) or not found.batched:
        return found
    size = y0.shape[0]
    try:
        outcome = entry.sizes[size]
    except KeyError:
        with _making, torch.inference_mode(False):
            try:
                watched = watch(func)
            except Refusal as refusal:
                return Declined(str(refusal))
            outcome = confirm(func, watched, entry, _plain(t), _plain(y0))
        if outcome is None or _alone():
            entry.note_size(size, outcome)
    return outcome or found


def _plain(tensor: Tensor) -> Tensor:
    """A copy that is no inference tensor, which autograd would not take."""
    return tensor.detach().clone()
