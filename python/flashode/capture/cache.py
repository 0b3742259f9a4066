"""Captures kept for later solves: bounded, and holding no function, module or tensor of the user's."""

from __future__ import annotations

import threading
import types
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from flashode.capture.captured import Capture
from flashode.capture.guard_code import Bound, Check, Owner
from flashode.capture.lower import Lowered
from flashode.declined import Declined

MAX_CODES = 256
MAX_ENTRIES = 32
MAX_SIZES = 256


class Key(NamedTuple):
    """What a capture presumes besides the function."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    default_dtype: torch.dtype

    @staticmethod
    def of(y: Tensor) -> Key:
        """The key of a call with this state."""
        return Key(tuple(y.shape), y.dtype, y.device, torch.get_default_dtype())

    def differs_in_batch(self, other: Key) -> bool:
        """Whether nothing but the batch size is different.

        A batch of one is unlike every other: there a function may squeeze the batch axis or broadcast it.
        """
        return (
            self.shape[1:] == other.shape[1:]
            and len(self.shape) == len(other.shape) > 1
            and (self.shape[0] == 1) == (other.shape[0] == 1)
            and self[1:] == other[1:]
        )


@dataclass(eq=False)
class Entry:
    """A capture without its function.

    Attributes:
        key: what it presumes.
        check: finds out whether it holds for a function, and picks the function's tensors.
        lowered: the Program and its prologue, or the reason why there is none.
        batched: whether it serves other batch sizes.
        counters: the function's counters, as the checks name them, and their amounts for each call.
        sizes: the batch sizes at which it was compared with the function, each with the outcome.
        skeleton: the same for entries whose checks differ only in values.
        numbers: the Python numbers that it presumes; see ``Watched``.
        origin: weakly, the function or object that it was made for.
        doubtful: the reason may be another thread's doing, which changed something meanwhile.
    """

    key: Key
    check: Check
    lowered: Lowered | Declined
    batched: bool
    counters: tuple[tuple[Owner, int], ...] = ()
    sizes: dict[int, Declined | None] = field(default_factory=dict)
    skeleton: int = 0
    numbers: dict[tuple[Owner, str], float] = field(default_factory=dict)
    origin: weakref.ref[Any] | None = None
    doubtful: bool = False

    def serves(self, key: Key) -> bool:
        """Whether a call with this key may use the entry."""
        if self.doubtful:
            return False
        return self.key == key or (self.batched and self.key.differs_in_batch(key))

    def note_size(self, size: int, outcome: Declined | None) -> None:
        """Remembers the outcome of a comparison."""
        if len(self.sizes) >= MAX_SIZES:
            self.sizes.clear()
        self.sizes[size] = outcome

    def bind(self, bound: Bound) -> Capture | Declined:
        """The capture for a function that passed the checks."""
        if isinstance(self.lowered, Declined):
            return self.lowered
        tensors, owners = bound
        pairs = zip(owners, self.counters, strict=True)
        counters = tuple((owner, name, amount) for owner, ((_, name), amount) in pairs)
        return Capture(self.lowered.program, self.batched, self.lowered.prologue, tensors, counters)


class Cache:
    """Entries by what a function is made of.

    Functions are found by their code, so that a lambda made afresh finds its predecessor's entry, and objects
    by their class. Classes are held weakly, codes in order of use up to a limit.
    """

    def __init__(self) -> None:
        self._by_code: OrderedDict[types.CodeType, list[Entry]] = OrderedDict()
        self._by_class: weakref.WeakKeyDictionary[type, list[Entry]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def entries(self, func: Any) -> list[Entry]:
        """The entries that may hold for ``func``, the latest used first; the list itself."""
        while isinstance(func, (partial, types.MethodType)):
            func = func.func if isinstance(func, partial) else func.__func__
        with self._lock:
            if not isinstance(func, types.FunctionType):
                return self._by_class.setdefault(type(func), [])
            entries = self._by_code.setdefault(func.__code__, [])
            self._by_code.move_to_end(func.__code__)
            if len(self._by_code) > MAX_CODES:
                self._by_code.popitem(last=False)
            return entries

    def use(self, entries: list[Entry], entry: Entry) -> None:
        """Makes an entry the latest used, and drops the one unused for longest when there are too many."""
        with self._lock:
            if entry in entries:
                entries.remove(entry)
            entries.insert(0, entry)
            del entries[MAX_ENTRIES:]

    def all_entries(self) -> Iterable[Entry]:
        """Every entry held."""
        for entries in [*self._by_code.values(), *self._by_class.values()]:
            yield from entries

    def clear(self) -> None:
        """Forgets every entry."""
        self._by_code.clear()
        self._by_class.clear()
