"""Capture: from the user's function to a Program that stays true, or a reason why not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from flashode.capture.cache import Cache, Confirmation, Entry, Key
from flashode.capture.calling.effects import Effects
from flashode.capture.captured import Capture
from flashode.capture.changing import unsteady
from flashode.capture.guards.environment import kind_of, unhooked
from flashode.capture.guards.sharing import shared
from flashode.capture.guards.watch import watch
from flashode.capture.making import Field, Start, compare_values, confirm, make
from flashode.capture.refusal import Refusal, described
from flashode.capture.steadiness import Look, Steadiness
from flashode.declined import Declined, Reason
from flashode.state import State, components
from flashode.verify import Verify

__all__ = ["Capture", "Start", "Steadiness", "capture", "error_of", "obstacle_beside", "steadiness"]

# How often to capture a function before another thread is held to have nothing to do with its declining.
ATTEMPTS = 3
# Entries so far at the front of their list need not be brought there: the blocks of a network take turns.
NEAR = 8

_cache: Cache[Entry] = Cache()
_looks: Cache[Look] = Cache()
# One capture at a time: while one thread calls a function and undoes the effects, another must not.
_making = threading.RLock()


def capture(
    func: Field, y0: State, start: Callable[[], Start], verify: Verify = "first"
) -> Capture | Declined:
    """Captures a vector field, or finds an earlier capture that still holds.

    The function may be called a few times; nothing it does then can be noticed afterwards.

    Args:
        func: ``func(t, y) -> dy/dt``.
        y0: a state at which it is defined, float32 or float64, of any shape; or a tuple of such.
        start: gives the same state and the times of the solve, where the function has to be called.
        verify: when the capture is compared with the function: ``"first"`` when it is made and at each new
            batch size, ``"always"`` at this call as well, in values, ``"never"`` not even then. A new batch
            size is traced in any case.

    Returns:
        the capture, bound to the function's tensors as they are now, or the reason why there is none.
    """
    try:
        # Of nested tensors this raises; torch's quick look at what kind they are of would end the process.
        shapes = y0.shape if isinstance(y0, Tensor) else tuple([part.shape for part in y0])
        kind = kind_of(y0)
        if isinstance(kind, Reason):
            return Declined(kind)
        entries, key = _cache.entries(func), (shapes, kind)
        found = _accepting(entries, func, key, start, verify)
        if found is not None:
            return found
        if not any(part.numel() for part in components(y0)):
            return Declined(Reason("the state is empty", "give it at least one number"))
        with _making, unhooked():
            # Another thread may have made it meanwhile.
            found = _accepting(entries, func, key, start, verify)
            return _made(entries, func, key, start, verify) if found is None else found
    except Refusal as refusal:
        # Not kept: where something cannot be watched, or other numbers might do, nothing would tell that the
        # reason is gone.
        return refusal.declined()
    except Exception as error:
        # No fault of a capture, nor of an object that it looked at, may end a solve that runs without it.
        return Declined(Reason(f"capturing it raised {described(error)}", "solve it in the eager engine"))


def error_of(func: Field, call: Callable[[], object]) -> Exception | None:
    """What a call of a function raises that raised when it was captured.

    Args:
        func: the function, of which a call is known to do nothing before it raises that could not be undone.
        call: calls it.

    Returns:
        the exception; None if there is none, or none that the call itself may have raised.
    """
    try:
        effects = Effects(watch(func))
    except Exception:
        # What it may change is not known.
        return None
    try:
        with _making:
            effects.untraced(call)
    except Refusal:
        return None
    except Exception as error:
        return error
    return None


def obstacle_beside(func: Field, other: Field) -> str | None:
    """Why another function may not be called while a capture stands for ``func``; None if it may.

    Args:
        func: the captured function.
        other: one that a solve calls beside it.

    Returns:
        a predicate that describes the other, in which "it" is ``func``.
    """
    try:
        # Data of which there is too much to watch is no part of a captured function.
        common = shared(watch(other, beside=True), watch(func))
    except Refusal as refusal:
        return f"may read or change anything: {refusal.reasons[0]}"
    except Exception as error:
        return f"may read or change anything: looking at it raised {described(error)}"
    return None if common is None else f"shares {common} with it, where a change would not be noticed"


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


def _accepting(
    entries: list[Entry], func: Field, key: Key, start: Callable[[], Start], verify: Verify
) -> Capture | Declined | None:
    """What the first entry that accepts the call gives; None if there is none."""
    for position, entry in enumerate(entries):
        confirmation = entry.confirmations.get(key)
        if confirmation is None and not entry.serves(key):
            continue
        bound = entry.check(func)
        if bound is None:
            continue
        if confirmation is None or not confirmation.compared or verify == "always":
            if not entry.compared and verify != "never":
                continue
            confirmation = _confirmed(entry, func, key, start, verify)
        if position >= NEAR:
            _cache.use(entries, entry)
        return confirmation.declined or entry.bind(bound)
    return None


def _confirmed(
    entry: Entry, func: Field, key: Key, start: Callable[[], Start], verify: Verify
) -> Confirmation:
    """What is found when an entry is tried for a call."""
    if isinstance(entry.lowered, Declined):
        return Confirmation(compared=True)
    compare = verify != "never"
    known = entry.confirmations.get(key)
    met = known is not None and (known.compared or not compare)
    if known is not None and met and (known.declined is not None or verify != "always"):
        return known
    with _making, unhooked(), torch.inference_mode(False):
        watched, at = watch(func), start().copied()
        if met:
            return Confirmation(compare, compare_values(func, watched, entry, at))
        confirmation = Confirmation(compare, confirm(func, watched, entry, at, compare))
    if confirmation.declined is None or _alone():
        entry.confirm(key, confirmation)
    return confirmation


def _made(
    entries: list[Entry], func: Field, key: Key, start: Callable[[], Start], verify: Verify
) -> Capture | Declined:
    """What a new entry gives."""
    # What a first call loads and initialises, such as torch's compiler, may change what it depends on.
    for _ in range(2):
        with torch.inference_mode(False):
            at, watched = start().copied(), watch(func)
            entry = unsteady(func, key, watched, entries)
            if entry is None:
                entry = make(func, watched, key, at, verify != "never")
                if isinstance(entry.lowered, Declined) and not _alone():
                    entry.number_attempt(_next_attempt(entries, func))
        _cache.use(entries, entry)
        bound = entry.check(func)
        if bound is not None:
            return entry.bind(bound)
    return Declined("what it depends on changes by itself")


def _next_attempt(entries: list[Entry], func: Field) -> int:
    """Which attempt to capture a function this one is; 0 if no other is to follow."""
    earlier = [entry for entry in entries if entry.attempt and entry.check(func) is not None]
    return (len(earlier) + 1) % ATTEMPTS


def _alone() -> bool:
    """Whether no other thread runs Python code that could change something during a capture."""
    return len(sys._current_frames()) == 1
