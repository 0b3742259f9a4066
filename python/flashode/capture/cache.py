"""What is kept of functions for later solves: bounded, and no function, module or tensor of the user's."""

from __future__ import annotations

import threading
import types
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch

from flashode.capture.captured import Capture
from flashode.capture.guards.bytecode import Executed
from flashode.capture.guards.environment import Kind
from flashode.capture.guards.guard_code import Bound, Check, Owner
from flashode.capture.lowering.lower import Lowered
from flashode.capture.weighing import weight
from flashode.declined import Declined
from flashode.state import Structure

MAX_CODES = 256
MAX_ENTRIES = 32
MAX_SIZES = 256
# An entry among the first ones of its list stays where it is when it is used: the solves of a network with
# several blocks use another entry each, and would reorder the list every time.
NEAR = 8
# Of all that one cache keeps together. A single capture that takes more is kept, and nothing beside it: to
# make it afresh at every solve would cost more than its memory.
MAX_BYTES = 128 * 2**20

_WRAPPERS = (partial, types.MethodType)
_ref = weakref.ref

# One each time that something kept is used.
moments = count(1)


class Weighed(Protocol):
    """Something of so many bytes that a cache keeps; the later it was used, the greater ``used``."""

    weight: int
    used: int


Kept = TypeVar("Kept", bound=Weighed)
# What a capture presumes besides the function: the state's shape, or those of its components, and its kind.
Key = tuple[torch.Size | tuple[torch.Size, ...], Kind]


def differ_in_batch(key: Key, other: Key) -> bool:
    """Whether nothing but the batch size is different.

    A batch of one is unlike every other: there a function may squeeze the batch axis or broadcast it. None is
    no batch.
    """
    (_, kind), (_, other_kind) = key, other
    structure, other_structure = _structure(key), _structure(other)
    if kind != other_kind or not structure.differs_in_batch(other_structure) or not other_structure.batch:
        return False
    return (structure.batch == 1) == (other_structure.batch == 1)


def _structure(key: Key) -> Structure:
    shapes, (_, number, _) = key
    return Structure((shapes,) if number is None else shapes, number is not None)  # type: ignore[arg-type]


class Confirmation(NamedTuple):
    """Whether a capture was compared with its function for a key, and why it does not hold there, if so."""

    compared: bool
    declined: Declined | None = None


@dataclass(eq=False)
class Entry:
    """A capture without its function.

    Attributes:
        key: what it presumes.
        check: finds out whether it holds for a function, and picks the function's tensors.
        lowered: the Program and its prologue, or the reason why there is none.
        batched: whether it serves other batch sizes.
        compared: whether it was compared with the function when it was made.
        counters: the function's counters, as the checks name them, and their amounts for each call.
        skeleton: the same for entries whose checks differ only in values.
        numbers: the Python numbers that it presumes; see ``Watched``.
        names: what a user calls the tensors that the checks return.
        origin: weakly, the function or object that it was made for.
        memoises: whether the function keeps what it computes in its first call.
        executed: the code that it was made from.
        attempt: whether its reason may be another thread's doing, so that it is to be made again.
        places: of the numbers in what holds them.
    """

    key: Key
    check: Check
    lowered: Lowered | Declined
    batched: bool
    compared: bool = True
    counters: tuple[tuple[Owner, int], ...] = ()
    skeleton: int = 0
    numbers: dict[tuple[Owner, str], float] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    origin: weakref.ref[Any] | None = None
    executed: Executed = field(default_factory=dict)
    memoises: bool = False
    attempt: bool = False
    confirmations: dict[Key, Confirmation] = field(default_factory=dict)
    places: frozenset[Any] = field(init=False)
    weight: int = field(init=False)
    used: int = 0

    def __post_init__(self) -> None:
        self.weight = weight(self.check, self.lowered)
        self.places = frozenset(place for (_, place), _ in self.numbers)

    def serves(self, key: Key) -> bool:
        """Whether a call with this key may use the entry."""
        same = self.key == key or (self.batched and differ_in_batch(self.key, key))
        return same and not self.attempt

    def confirm(self, key: Key, confirmation: Confirmation) -> None:
        """Remembers what was found for a key."""
        if len(self.confirmations) >= MAX_SIZES:
            self.confirmations.clear()
        self.confirmations[key] = confirmation

    def bind(self, bound: Bound) -> Capture:
        """The capture for a function that passed the checks."""
        lowered, (tensors, counters) = self.lowered, bound
        assert isinstance(lowered, Lowered)
        carried = lowered.carry(tensors) if lowered.carried else ()
        program, batched, prologue = lowered.program, lowered.batched, lowered.prologue
        if lowered.graph.steps:
            own = ((tensors[slot], self.names[slot], amount) for slot, amount in lowered.graph.steps)
            counters = (*counters, *own)
        names, places, partial = self.names, self.places, lowered.partial
        return Capture(program, batched, prologue, tensors, counters, names, carried, places, partial)


class Cache(Generic[Kept]):
    """Entries by what a function is made of.

    Functions are found by their code, so that a lambda made afresh finds its predecessor's entry, and objects
    by their class. Classes are held weakly, codes up to a limit. Of what are too many, or take more than
    ``MAX_BYTES`` together, what has been unused for longest is dropped.
    """

    def __init__(self) -> None:
        self._by_code: dict[types.CodeType, list[Kept]] = {}
        self._by_class: dict[weakref.ref[type], list[Kept]] = {}
        self._lock = threading.Lock()

    def entries(self, func: Any) -> list[Kept]:
        """The entries that may hold for ``func``, the latest used first; the list itself."""
        if type(func) is not types.FunctionType:
            entries = self._by_class.get(_ref(type(func)))
            if entries is not None:
                return entries
            while isinstance(func, _WRAPPERS):
                func = func.func if isinstance(func, partial) else func.__func__
            if not isinstance(func, types.FunctionType):
                with self._lock:
                    return self._by_class.setdefault(weakref.ref(type(func), self._forget), [])
        # A code hashes all of its instructions: it is looked for once.
        entries = self._by_code.get(func.__code__)
        return self._new_code(func.__code__) if entries is None else entries

    def _new_code(self, code: types.CodeType) -> list[Kept]:
        with self._lock:
            if len(self._by_code) >= MAX_CODES:
                used = {old: max((e.used for e in held), default=0) for old, held in self._by_code.items()}
                del self._by_code[min(used, key=used.__getitem__)]
            return self._by_code.setdefault(code, [])

    def _forget(self, kind: weakref.ref[type]) -> None:
        # No lock: it may be held by the code that this interrupts.
        self._by_class.pop(kind, None)

    def use(self, entries: list[Kept], entry: Kept) -> None:
        """Makes an entry the latest used, and drops the one unused for longest when there are too many."""
        entry.used = next(moments)
        with self._lock:
            others = [other for other in entries if other is not entry]
            added = len(others) == len(entries)
            # At once, for readers that take no lock.
            entries[:] = [entry, *others[: MAX_ENTRIES - 1]]
            if added:
                self._make_room(entry)

    def _make_room(self, newest: Kept) -> None:
        total = sum(entry.weight for entry in self.all_entries())
        if total <= MAX_BYTES:
            return
        places = [*self._by_code.values(), *self._by_class.values()]
        held = [(entry, entries) for entries in places for entry in entries if entry is not newest]
        for entry, entries in sorted(held, key=lambda one: one[0].used):
            entries[:] = [other for other in entries if other is not entry]
            total -= entry.weight
            if total <= MAX_BYTES:
                return

    def all_entries(self) -> Iterable[Kept]:
        """Every entry held."""
        for entries in [*self._by_code.values(), *self._by_class.values()]:
            yield from entries

    def clear(self) -> None:
        """Forgets every entry."""
        self._by_code.clear()
        self._by_class.clear()
