"""What is in a container: a list, a table, an array."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from flashode.capture.guards import classes
from flashode.capture.guards.trust import simple, trusted_class
from flashode.capture.guards.walk import Walk
from flashode.capture.guards.watched import Container
from flashode.capture.refusal import PLAIN, Refusal
from flashode.declined import Reason

MAX_DEPTH = 4
MAX_ITEMS = 256
MAX_ELEMENTS = 4096

_TENSOR = "keep the numbers in one tensor"
_SEQUENCES = (list, tuple)
_TABLES = (dict, OrderedDict, defaultdict)
_SETS = (set, frozenset)


def known(kind: type) -> bool:
    """Whether it is a kind of container."""
    return kind in _SEQUENCES or kind in _TABLES or kind in _SETS or _named(kind)


def container(walk: Walk, expression: str, value: Any, label: str, depth: int) -> None:
    """Adds the checks for a container and what is in it."""
    if depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
        if walk.beside and all(map(_is_data, leaves := list(_leaves(value, MAX_DEPTH)))):
            walk.watched.unwatched += [value, *leaves]
            return
        raise Refusal(
            f"{label} is a deep or large container, which cannot be watched cheaply", remedy=_TENSOR
        )
    variable = walk.seen(expression, value)
    if variable is None:
        return
    kind = type(value)
    if _named(kind):
        classes.class_(walk, f"type({variable})", kind, label)
    else:
        walk.code.identical(f"type({variable})", kind)
    if kind in _TABLES:
        walk.code.keys(variable, value)
        _odd_table(walk, variable, value, label)
    else:
        walk.code.length(variable, len(value))
    if not isinstance(value, (tuple, frozenset)):
        walk.watched.containers.append(Container(label, value, walk.code.owner, variable))
    if kind in _SETS:
        if not all(map(simple, value)):
            raise Refusal(f"{label} is a set of things that cannot be watched", remedy=PLAIN)
        # In the order in which it is walked through, which equal sets may have of their own.
        walk.code.holds(f"not _differs(tuple({variable}), {walk.code.constant(tuple(value))})")
        return
    for key in value.keys() if kind in _TABLES else range(len(value)):
        if type(key) not in (str, int, bool):
            walk.note(
                Reason(f"{label} has a key that cannot be watched", "use strings or integers as keys"), label
            )
            return
        with walk.code.owned_by((variable, key)):
            walk.value(f"{variable}[{key!r}]", value[key], f"{label}[{key!r}]", depth + 1)


def _leaves(value: Any, depth: int) -> Iterator[Any]:
    """What is in nested containers, down to a depth."""
    kind = type(value)
    if depth and (kind in _TABLES or kind in _SEQUENCES or kind in _SETS):
        for item in [*value.keys(), *value.values()] if kind in _TABLES else value:
            yield from _leaves(item, depth - 1)
    else:
        yield value


def _is_data(value: Any) -> bool:
    """Whether it is no more than a number, a word or the numbers of a tensor."""
    return simple(value) or (type(value) is Tensor and not value.__dict__)


def array(walk: Walk, expression: str, value: np.ndarray[Any, Any], label: str) -> None:
    """Adds the checks for an array of numbers."""
    if value.size > MAX_ELEMENTS or value.dtype.kind not in "biufc":
        raise Refusal(
            f"{label} is a numpy.ndarray of {value.size} elements of {value.dtype}; "
            f"up to {MAX_ELEMENTS} numbers are watched",
            remedy=_TENSOR,
        )
    variable = walk.seen(expression, value)
    if variable is None:
        return
    walk.code.identical(f"type({variable})", np.ndarray)
    walk.watched.containers.append(Container(label, value, walk.code.owner, variable))
    for part in ("dtype", "shape", "strides"):
        walk.code.holds(f"{variable}.{part} == {walk.code.constant(getattr(value, part))}")
    walk.code.holds(f"{variable}.tobytes() == {walk.code.constant(value.tobytes())}")


def _named(kind: type) -> bool:
    """Whether it is the class of a named tuple of the user's, which holds its items as any tuple does."""
    fields = kind.__dict__.get("_fields")
    own = {"__getitem__", "__len__", "__getattribute__"} & kind.__dict__.keys()
    return kind.__base__ is tuple and isinstance(fields, tuple) and not own and not trusted_class(kind)


def _odd_table(walk: Walk, variable: str, value: Any, label: str) -> None:
    if isinstance(value, OrderedDict):
        if value.__dict__:
            raise Refusal(f"{label} is an OrderedDict with attributes", remedy="use a dict")
        walk.code.length(f"{variable}.__dict__", 0)
    elif isinstance(value, defaultdict):
        factory = f"{variable}.default_factory"
        walk.value(factory, value.default_factory, f"the default of {label}")
