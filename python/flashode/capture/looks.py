"""Looking at functions without walking them again: whether they changed, and what two have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch import Tensor

from flashode.capture.guards.trust import trusted_class
from flashode.capture.guards.watched import Watched, path
from flashode.capture.weighing import weight

# What a look sees: a function's tensors, and what it may change, in the order of ``Look.labels``.
Seen = tuple[tuple[Tensor, ...], tuple[Any, ...]]
# One of the tensors, its version and the address of its memory, which may be exchanged.
_State = tuple[Tensor, int, int]


class Look:
    """The checks on functions of one kind, and what is known of all of them; holds nothing of the user's.

    Attributes:
        check: takes a function; gives what is seen, or None if it is of another kind.
        names: what a user calls each of the tensors.
        labels: what the walk calls each thing that the function may change.
        assigned: names that its code assigns in namespaces which are there for everybody.
        used_names: all names in its code.
    """

    used = 0

    def __init__(self, watched: Watched, beside: bool = False) -> None:
        """Compiles the checks of a walk over a function.

        They hold although tensors are frozen or get hooks, and, unless ``beside``, although objects get
        attributes that are not read.

        Args:
            watched: The walk.
            beside: Whether the function is compared with one that a solve calls beside it: then all that it
                may change is seen, else only its tensors.
        """
        held = [container for container in watched.containers if beside and container.places is None]
        returned = [container.variable for container in held]
        dropped = watched.idle if beside else {*watched.idle, *watched.counts}
        self.check = watched.code.compile(dropped, kinds=False, returned=returned)
        self.weight = weight(self.check)
        self.names = watched.tensor_names
        self.labels = [container.label for container in held]
        everywhere = [container.places for container in watched.containers if container.places]
        self.assigned = frozenset[str]().union(*everywhere)
        self.special = {name for code in watched.codes.values() for name in code.assigned if name[:2] == "__"}
        self.used_names = watched.names


def common(first: Look, seen: Seen, second: Look, seen_second: Seen) -> str | None:
    """What two functions have in common that one of them may change; None if there is nothing.

    A capture presumes that what it reads stays as it is during a solve, and brings counters up to date after
    it. A function that has nothing in common with its own may be called meanwhile, whatever it does.
    """
    known = {id(part) for held in seen_second[1] for part in _parts(held)}
    for label, held in zip(first.labels, seen[1], strict=True):
        if not known.isdisjoint(map(id, _parts(held))):
            return path(label) or "the object that it belongs to"
    # The globals of a file and what a library has are there for everybody, and functions hold their defaults.
    named = (first.assigned & second.used_names) | (second.assigned & first.used_names) | first.special
    if named:
        return min(named)
    ranges = list(_memory(seen_second))
    if any(start < other_end and other < end for start, end in _memory(seen) for other, other_end in ranges):
        return "the memory of a tensor"
    return None


def _parts(held: Any) -> tuple[object, ...]:
    """What can change as a whole: a class with those that it inherits from."""
    if isinstance(held, type):
        return tuple(base for base in held.__mro__ if not trusted_class(base))
    return (held,)


def _memory(seen: Seen) -> Iterator[tuple[int, int]]:
    """From where to where in memory the numbers lie."""
    for tensor in seen[0]:
        storage = tensor.untyped_storage()
        yield storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    for array in seen[1]:
        if isinstance(array, np.ndarray):
            while isinstance(array.base, np.ndarray):
                array = array.base
            yield array.ctypes.data, array.ctypes.data + array.nbytes


class Steadiness:
    """What a function depends on, as it was during a solve.

    Made before the solve; what the function itself changes meanwhile, such as a count of its calls, may go on
    changing.
    """

    def __init__(self, func: Callable[..., Any], look: Look, seen: Seen) -> None:
        self._func = func
        self._look = look
        self._before = _states(seen)
        self._steady: dict[int, _State] | None = None

    def settle(self) -> None:
        """Looks at it after the solve."""
        seen = self._look.check(self._func)
        if seen is None:
            return
        self._steady = {
            place: now
            for place, (then, now) in enumerate(zip(self._before, _states(seen), strict=True))
            if then[0] is now[0] and then[1:] == now[1:]
        }

    def change(self) -> str | None:
        """What is not as it was after the solve, which the solve itself does not change; None if all is."""
        if self._steady is None:
            return None
        seen = self._look.check(self._func)
        if seen is None:
            return "something that it reads was changed"
        now = _states(seen)
        for place, (tensor, *content) in self._steady.items():
            found, *present = now[place]
            if found is not tensor:
                return f"another tensor was put in the place of {self._look.names[place]}"
            if present != content:
                return f"{self._look.names[place]} was changed in place"
        return None


def _states(seen: Seen) -> list[_State]:
    return [(tensor, tensor._version, tensor.data_ptr()) for tensor in seen[0]]
