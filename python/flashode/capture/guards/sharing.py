"""Whether one function may be called while a capture stands for another.

A capture presumes that what it reads stays as it is during a solve, and brings counters up to date after it.
So the other function may be called if the two have nothing in common that could change: whatever it does then
does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flashode.capture.guards.trust import trusted_class
from flashode.capture.guards.watched import Container, Watched, path


def shared(first: Watched, second: Watched) -> str | None:
    """What two functions have in common that one of them may change.

    Returns:
        what it is called; None if there is nothing.
    """
    known = {id(held) for container in second.containers for held in _held(container)}
    for container in first.containers:
        if not known.isdisjoint(map(id, _held(container))):
            return path(container.label) or "the object that it belongs to"
    # The globals of a file and what a library has are there for everybody, and functions hold their defaults.
    named = (_assigned(first) & second.names) | (_assigned(second) & first.names)
    special = {name for code in first.codes.values() for name in code.assigned if name.startswith("__")}
    if named or special:
        return min(named | special)
    ranges = list(_memory(second))
    if any(start < other_end and other < end for start, end in _memory(first) for other, other_end in ranges):
        return "the memory of a tensor"
    return None


def _held(container: Container) -> tuple[object, ...]:
    """What can change as a whole: a class with those that it inherits from."""
    if container.places is not None:
        return ()
    if isinstance(container.held, type):
        return tuple(base for base in container.held.__mro__ if not trusted_class(base))
    return (container.held,)


def _assigned(watched: Watched) -> frozenset[str]:
    """The names that code assigns in namespaces which are there for everybody."""
    return frozenset().union(*(container.places or () for container in watched.containers))


def _memory(watched: Watched) -> Iterator[tuple[int, int]]:
    """From where to where in memory the numbers lie."""
    for tensor in watched.tensors:
        storage = tensor.untyped_storage()
        yield storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    for container in watched.containers:
        array = container.held
        if isinstance(array, np.ndarray):
            while isinstance(array.base, np.ndarray):
                array = array.base
            yield array.ctypes.data, array.ctypes.data + array.nbytes
