"""What the behaviour of an object depends on in its class: attributes, methods, constructors."""

from __future__ import annotations

import weakref
from typing import Any

from flashode.capture.guards import namespaces
from flashode.capture.guards.relevance import (
    CLASS_QUERIES,
    CONSTRUCTORS,
    class_attribute_matters,
    inherits_trusted,
)
from flashode.capture.guards.trust import trusted_class
from flashode.capture.guards.walk import Walk
from flashode.capture.guards.watched import Container
from flashode.capture.refusal import Refusal

# What a metaclass has that does nothing to the calls of an instance of its classes.
_MAKES_CLASSES = frozenset(
    [
        *("__new__", "__init__", "__prepare__", "__module__", "__doc__", "__qualname__", "__repr__"),
        *("__str__", "__dir__", "__annotations__", "__firstlineno__", "__static_attributes__"),
    ]
)


def class_of(walk: Walk, variable: str, kind: type, label: str) -> None:
    """Adds the checks for the class of an object."""
    if not all(map(trusted_class, kind.__mro__)):
        class_(walk, f"type({variable})", kind, label)
        return
    walk.code.identical(f"type({variable})", kind)
    namespaces.trusted_bases(walk, kind)


def class_(walk: Walk, expression: str, kind: type, label: str, constructed: bool = False) -> None:
    """Adds the checks for a class, of which the code makes instances if it has the class itself at hand."""
    known = walk.met.get(id(kind))
    if known is not None:
        walk.code.same(expression, known[0])
        _constructors(walk, known[0], kind, constructed)
        return
    # Weakly, so that a class made in a function can go.
    variable = walk.code.variable(expression)
    walk.code.identical(variable, weakref.ref(kind), weak=True)
    _metaclass(walk, variable, kind, label)
    walk.met[id(kind)] = variable, kind
    walk.watched.containers.append(Container(kind.__qualname__, kind, walk.code.owner, variable))
    # Trusted code reads attributes that the user's code does not name.
    everything = walk.everything or inherits_trusted(kind)
    walk.descriptions(variable, kind, label)
    namespaces.trusted_bases(walk, kind)
    _bases(walk, variable, kind)
    for position, base in enumerate(kind.__mro__):
        if trusted_class(base):
            continue
        own = walk.code.variable(_space(variable, position))
        walk.code.keys(own, base.__dict__)
        for name, attribute in list(base.__dict__.items()):
            if class_attribute_matters(name, attribute, walk.names, everything):
                walk.descriptor(f"{own}[{name!r}]", attribute, f"{base.__qualname__}.{name}")
    _constructors(walk, variable, kind, constructed or not walk.names.isdisjoint(CLASS_QUERIES))


def _metaclass(walk: Walk, variable: str, kind: type, label: str) -> None:
    """Adds the checks for a class of classes, or refuses one that does more than make them."""
    meta: Any = type(kind)
    own = [base for base in meta.__mro__ if not trusted_class(base)]
    for base in own:
        # What a class has not, is looked for there.
        read = {name for name in base.__dict__ if name in walk.names and name[:2] != "__"}
        special = {name for name in base.__dict__ if name[:2] == "__"} - _MAKES_CLASSES
        if not walk.lenient and (walk.everything or read or special):
            raise Refusal(
                f"{label} has the metaclass {meta.__qualname__}, which cannot be watched",
                remedy="use a class without a metaclass of its own, or one that only makes classes",
            )
    if own:
        inner = walk.code.variable(f"type({variable})")
        walk.code.identical(inner, weakref.ref(meta), weak=True)
        for position, base in enumerate(meta.__mro__):
            if base in own:
                walk.code.keys(_space(inner, position), base.__dict__)


def _bases(walk: Walk, variable: str, kind: type) -> None:
    """Adds the check that a class inherits from what it did: bases can be assigned."""
    inherited = kind.__mro__[1:]
    if all(map(trusted_class, inherited)):
        walk.code.identical(f"{variable}.__bases__", kind.__bases__)
        return
    # Weakly, as above.
    made, bases = walk.code.constant(weakref.ref), walk.code.constant(list(map(weakref.ref, inherited)))
    walk.code.holds(f"[*map({made}, {variable}.__mro__[1:])] == {bases}")


def _space(variable: str, position: int) -> str:
    return f"{variable}.__mro__[{position}].__dict__" if position else f"{variable}.__dict__"


def _constructors(walk: Walk, variable: str, kind: type, constructed: bool) -> None:
    if not constructed or id(kind) in walk.constructed:
        return
    walk.constructed.add(id(kind))
    for position, base in enumerate(kind.__mro__):
        for name in CONSTRUCTORS & base.__dict__.keys():
            if not trusted_class(base):
                inside = f"{_space(variable, position)}[{name!r}]"
                walk.descriptor(inside, base.__dict__[name], f"{base.__qualname__}.{name}")
