"""Capture: from the user's function to a Program that stays true, or a reason why not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import torch
from torch import Tensor

from flashode.capture.cache import NEAR, Cache, Confirmation, Entry, Key, moments
from flashode.capture.calling.effects import Effects
from flashode.capture.captured import Capture
from flashode.capture.changing import unsteady
from flashode.capture.guards.environment import kind_of, unhooked
from flashode.capture.guards.execution import Unseen
from flashode.capture.guards.watch import watch
from flashode.capture.looks import Look, Seen, Steadiness, common
from flashode.capture.making import compare_values, confirm, make
from flashode.capture.observing import observe, settle
from flashode.capture.refusal import Refusal, Unsteady, described
from flashode.capture.starting import Field, Start
from flashode.declined import Declined, Reason
from flashode.state import State, components
from flashode.verify import Verify

__all__ = ["Capture", "Start", "capture", "error_of", "obstacle_beside", "steadiness"]

# How often to capture a function before another thread is held to have nothing to do with its declining.
ATTEMPTS = 3

_cache: Cache[Entry] = Cache()
# At functions that a backward pass calls again, and at captured ones and those that are called beside them.
_looks: Cache[Look] = Cache()
_looks_beside: Cache[Look] = Cache()
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
        accepted = _accepted(entries, func, key, start, verify)
        if accepted is not None:
            return accepted
        if not any(part.numel() for part in components(y0)):
            return Declined(Reason("the state is empty", "give it at least one number"))
        with _making, unhooked(), torch.inference_mode(False):
            # Another thread may have made it meanwhile.
            return (
                _accepted(entries, func, key, start, verify)
                or _confirmed(entries, func, key, start, verify)
                or _newly_captured(entries, func, key, start, verify)
            )
    except Unseen as unseen:
        return Unsteady(f"its calls differ in the code that they run ({unseen})").declined()
    except Refusal as refusal:
        # Not kept: where something cannot be watched, or other numbers might do, nothing would tell that the
        # reason is gone.
        return refusal.declined()
    except Exception as error:
        # No fault of a capture, nor of an object that it looked at, may end a solve that runs without it.
        return Declined(Reason(f"capturing it raised {described(error)}", "solve it in the eager engine"))


def _accepted(
    entries: list[Entry], func: Field, key: Key, start: Callable[[], Start], verify: Verify
) -> Capture | Declined | None:
    """What the first entry gives that holds and was confirmed for such calls; None if there is none."""
    for position, entry in enumerate(entries):
        confirmation = entry.confirmations.get(key)
        if confirmation is None or not (confirmation.compared or verify == "never"):
            continue
        if verify == "always" and confirmation.declined is None:
            continue
        bound = entry.check(func)
        if bound is not None:
            entry.used = next(moments)
            if position >= NEAR:
                _cache.use(entries, entry)
            if confirmation.declined is not None:
                return _with_remedy(entry, confirmation.declined, func, start)
            return entry.bind(bound)
    return None


def _with_remedy(entry: Entry, declined: Declined, func: Field, start: Callable[[], Start]) -> Declined:
    """A refusal, with what a solve can do about it."""
    if not entry.memoises:
        return declined
    return Declined(*declined.reasons, settle=lambda: settle(func, start()))


def _confirmed(
    entries: list[Entry], func: Field, key: Key, start: Callable[[], Start], verify: Verify
) -> Capture | Declined | None:
    """What the first entry gives that holds, once it is confirmed for this call; None if there is none."""
    compare = verify != "never"
    for entry in entries:
        if not entry.serves(key) or (compare and not entry.compared):
            continue
        bound = entry.check(func)
        if bound is None:
            continue
        if isinstance(entry.lowered, Declined):
            entry.confirm(key, Confirmation(True, entry.lowered))
            return _with_remedy(entry, entry.lowered, func, start)
        at, watched = start().copied(), watch(func, entry.executed)
        confirmation = entry.confirmations.get(key)
        if confirmation is not None and confirmation.compared:
            return compare_values(func, watched, entry, at) or entry.bind(bound)
        execution = observe(func, at).execution
        if execution.executed != entry.executed:
            continue  # the batch size decides what runs
        confirmation = Confirmation(compare, confirm(func, watched, execution, entry, at, compare))
        if confirmation.declined is None or _is_only_thread():
            entry.confirm(key, confirmation)
        return confirmation.declined or entry.bind(bound)
    return None


def _newly_captured(
    entries: list[Entry], func: Field, key: Key, start: Callable[[], Start], verify: Verify
) -> Capture | Declined:
    """What a new entry gives, which is kept."""
    at = start().copied()
    observed = observe(func, at)
    execution = observed.execution
    # What a first call loads and initialises, such as torch's compiler, may change what it depends on; and a
    # call at another batch size may run other code.
    for _ in range(ATTEMPTS):
        executed = execution.executed
        watched = watch(func, executed)
        execution.led_to(watched.codes)
        entry = unsteady(func, key, watched, entries)
        if entry is None:
            entry = make(func, watched, observed, key, at, verify != "never")
            if execution.executed != executed:
                continue
            if isinstance(entry.lowered, Declined) and not _is_only_thread():
                earlier = [each for each in entries if each.attempt and each.check(func) is not None]
                entry.attempt = len(earlier) + 1 < ATTEMPTS
        declined = entry.lowered if isinstance(entry.lowered, Declined) else None
        if not entry.attempt:
            entry.confirm(key, Confirmation(entry.compared, declined))
        _cache.use(entries, entry)
        bound = entry.check(func)
        if bound is not None and declined is not None:
            return _with_remedy(entry, declined, func, start)
        if bound is not None:
            return entry.bind(bound)
        at = start().copied()
    return Declined("what it depends on changes by itself")


def _is_only_thread() -> bool:
    """Whether no other thread runs Python code that could change something during a capture."""
    return len(sys._current_frames()) == 1


def error_of(func: Field, call: Callable[[], object]) -> Exception | None:
    """What a call of a function raises that raised when it was captured; None if the call itself may have.

    A call of it is known to do nothing before it raises that could not be undone.
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
    """Why a solve may not call ``other`` beside the captured ``func``, as a predicate; None if it may."""
    try:
        # Data of which there is too much to watch is no part of a captured function.
        shared = common(*_look(other, beside=True), *_look(func, beside=True))
    except Refusal as refusal:
        return f"may read or change anything: {refusal.reasons[0]}"
    except Exception as error:
        return f"may read or change anything: looking at it raised {described(error)}"
    return None if shared is None else f"shares {shared} with it, where a change would not be noticed"


def steadiness(func: Field) -> Steadiness | None:
    """What tells later whether a function has changed since now; None where it cannot be watched."""
    try:
        return Steadiness(func, *_look(func))
    except Exception:
        return None


def _look(func: Field, beside: bool = False) -> tuple[Look, Seen]:
    """How to look at a function, and what is seen; walks it if it is of a new kind."""
    looks = _looks_beside if beside else _looks
    entries = looks.entries(func)
    for look in entries:
        seen = look.check(func)
        if seen is not None:
            look.used = next(moments)
            return look, seen
    watched = watch(func, beside=True) if beside else watch(func)
    look = Look(watched, beside)
    seen = look.check(func)
    if seen is None:
        raise Refusal("what it depends on changes by itself")
    if watched.unwatched:
        # Other things may be there the next time.
        tensors = [part for part in watched.unwatched if isinstance(part, Tensor)]
        return look, ((*seen[0], *tensors), seen[1])
    looks.use(entries, look)
    return look, seen
