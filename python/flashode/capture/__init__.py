"""Capture: from the user's function to a Program that stays true, or a reason why not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from flashode.capture.cache import Cache, Entry, Key
from flashode.capture.calling.attempt import attempted
from flashode.capture.captured import Capture
from flashode.capture.changing import origin, unsteady
from flashode.capture.making import Field, compare_values, confirm, make
from flashode.capture.refusal import Failed, Refusal, described
from flashode.capture.steadiness import Look, Steadiness
from flashode.capture.watching.environment import obstacle, undisturbed, unhooked
from flashode.capture.watching.guard_code import Bound
from flashode.capture.watching.guards import watch
from flashode.capture.watching.meddling import obstacle as obstacle_beside
from flashode.declined import Declined, Reason
from flashode.state import State, components
from flashode.verify import Verify

__all__ = ["Capture", "Steadiness", "attempt", "capture", "meddling", "recapture", "steadiness"]

MAX_DOUBTS = 3
# Looked at before the state is: the blocks of a network take turns.
MAX_RECENT = 8

_cache: Cache[Entry] = Cache()
_looks: Cache[Look] = Cache()
# One capture at a time: while one thread calls a function and undoes the effects, another must not.
_making = threading.RLock()


def capture(
    func: Field, t: Tensor, y0: State, verify: Verify = "first", end: float | None = None
) -> Capture | Declined:
    """Captures a vector field, or finds an earlier capture that still holds.

    The function may be called a few times; nothing it does then can be noticed afterwards.

    Args:
        func: ``func(t, y) -> dy/dt``.
        t: a time at which the field is defined, 0-d, in y0's dtype.
        y0: a state at which it is defined, float32 or float64, of any shape; or a tuple of such.
        verify: when the capture is compared with the function: ``"first"`` when it is made and at each new
            batch size, ``"always"`` at this call as well, in values, ``"never"`` not even then. A new batch
            size is traced in any case.
        end: the last time that it is wanted for, if that is known.

    Returns:
        the capture, bound to the function's tensors as they are now, or the reason why there is none.
    """
    again = recapture(func, y0, verify)
    if again is not None:
        return again
    reason = obstacle(components(y0))
    if reason is not None:
        return Declined(reason)
    try:
        with unhooked():
            return _captured(_Call(func, t, y0, verify, end, Key.of(y0)))
    except Exception as error:
        # No fault of a capture, nor of an object that it looked at, may end a solve that runs without it.
        return Declined(Reason(f"capturing it raised {described(error)}", "solve it in the eager engine"))


def _captured(call: _Call) -> Capture | Declined:
    entries = _cache.entries(call.func)
    found = _found(entries, call)
    if found is not None:
        return found
    with _making:
        # Another thread may have made it meanwhile.
        found = _found(entries, call)
        return _made(entries, call) if found is None else found


def recapture(func: Field, y0: State, verify: Verify = "first") -> Capture | Declined | None:
    """What was found last, if nothing is different from then except in the content of tensors; else None.

    Args:
        func: as for :func:`capture`.
        y0: likewise.
        verify: likewise.
    """
    if verify == "always":
        return None
    try:
        for entry in _cache.entries(func)[:MAX_RECENT]:
            if entry.alike is None or not (entry.compared or verify == "never"):
                continue
            if not undisturbed(entry.default_dtype):
                return None
            bound = entry.check(func, entry.alike, y0)
            if bound is not None:
                return entry.bind(bound)
    except Exception:
        # As in ``capture``, which says what it was.
        return None
    return None


def attempt(func: Field, call: Callable[[], object]) -> Exception | None:
    """What ``call``, which calls ``func``, raises; see :func:`attempted`."""
    with _making:
        return attempted(func, call)


def meddling(other: Field, func: Field, capture: Capture) -> str | None:
    """What another function may do that keeps it from being called while a capture stands for ``func``.

    Args:
        other: the other function.
        func: the captured one.
        capture: its capture.

    Returns:
        a predicate that describes it, in which "it" is ``func``; None if it may be called.
    """
    try:
        # Data of which there is too much to watch is no part of a captured function.
        meddler = watch(other, beside=True)
        return obstacle_beside(meddler, watch(func), {place for _, place, _ in capture.counters})
    except Refusal as refusal:
        return f"may read or change anything: {refusal.reasons[0]}"
    except Exception as error:
        return f"may read or change anything: looking at it raised {described(error)}"


def steadiness(func: Field) -> Steadiness | None:
    """What tells later whether a function has changed since now; None where it cannot be watched."""
    try:
        looks = _looks.entries(func)
        look = next((look for look in looks if look.check(func) is not None), None)
        if look is None:
            watched = watch(func)
            # Attributes that it does not read may come, and tensors may be frozen, or get hooks.
            check = watched.code.compile(dropped={*watched.idle, *watched.counts}, kinds=False)
            look = Look(check, watched.tensor_names)
        _looks.use(looks, look)
        return Steadiness(func, look)
    except Exception:
        return None


class _Call(NamedTuple):
    func: Field
    t: Tensor
    y0: State
    verify: Verify
    end: float | None
    key: Key


def _found(entries: list[Entry], call: _Call) -> Capture | Declined | None:
    for position, entry in enumerate(tuple(entries)):
        if not entry.serves(call.key) or not (entry.compared or call.verify == "never"):
            continue
        bound = entry.check(call.func)
        if bound is not None:
            if position:
                _cache.use(entries, entry)
            return _bound(entry, bound, call)
    return None


def _made(entries: list[Entry], call: _Call) -> Capture | Declined:
    # What a first call loads and initialises, such as torch's compiler, may change what it depends on.
    for _ in range(2):
        try:
            entry = _entry(entries, call)
        except Refusal as refusal:
            # Not kept: where something cannot be watched, or other numbers might do, nothing would tell that
            # the reason is gone.
            return Declined(*refusal.reasons, raised=isinstance(refusal, Failed))
        _cache.use(entries, entry)
        bound = entry.check(call.func)
        if bound is not None:
            return _bound(entry, bound, call)
    return Declined("what it depends on changes by itself")


def _entry(entries: list[Entry], call: _Call) -> Entry:
    func, key = call.func, call.key
    with torch.inference_mode(False):
        watched = watch(func)
        entry = unsteady(func, key, watched, entries)
        if entry is None:
            compare = call.verify != "never"
            entry = make(func, watched, _plain(call.t), _plain_state(call.y0), call.end, compare)
            entry.doubtful = isinstance(entry.lowered, Declined) and _doubtful(entries, func)
            entry.origin, entry.skeleton = origin(func), watched.code.skeleton
            entry.numbers = watched.numbers
            entry.places = frozenset(place for (_, place), _ in watched.numbers)
            entry.names = watched.tensor_names
    return entry


def _doubtful(entries: list[Entry], func: Field) -> bool:
    """Whether a reason may be another thread's doing, so that the next solve should try again."""
    if _alone():
        return False
    earlier = [entry for entry in entries if entry.doubtful and entry.check(func) is not None]
    return len(earlier) < MAX_DOUBTS - 1


def _alone() -> bool:
    """Whether no other thread runs Python code that could change something during a capture."""
    return len(sys._current_frames()) == 1


def _bound(entry: Entry, bound: Bound, call: _Call) -> Capture | Declined:
    found = entry.bind(bound)
    if isinstance(found, Capture):
        size = components(call.y0)[0].shape[0] if found.batched else None
        doubt = _doubt(entry, call, size)
        if doubt is not None:
            return doubt
        if size is not None and entry.compared and not entry.met(size, compared=True):
            # Not remembered: others want it compared first.
            return found
    entry.remember(call.y0, bound[0])
    return found


def _doubt(entry: Entry, call: _Call, size: int | None) -> Declined | None:
    """The reason why a capture does not hold for this call, if a comparison is due and finds one."""
    compare = call.verify != "never"
    met = size is None or entry.met(size, compare)
    known = entry.outcome(size) if met else None
    if known is not None or (met and call.verify != "always"):
        return known
    with _making, torch.inference_mode(False):
        func, t, y0 = call.func, _plain(call.t), _plain_state(call.y0)
        try:
            watched = watch(func)
            outcome = (
                compare_values(func, watched, entry, t, y0)
                if met
                else confirm(func, watched, entry, t, y0, call.end, compare)
            )
        except Refusal as refusal:
            return Declined(*refusal.reasons, raised=isinstance(refusal, Failed))
    if not met and (outcome is None or _alone()):
        entry.note_size(size, compare, outcome)
    return outcome


def _plain(tensor: Tensor) -> Tensor:
    """A copy that is no inference tensor, which autograd would not take."""
    return tensor.detach().clone()


def _plain_state(y0: State) -> State:
    return _plain(y0) if isinstance(y0, Tensor) else tuple(map(_plain, y0))
