"""What the behaviour of an object hangs on in its class: attributes, methods, constructors."""

from __future__ import annotations

import functools
import types
import weakref
from typing import TYPE_CHECKING, Any

from torch import nn

from flashode.capture.refusal import Refusal
from flashode.capture.watching.relevance import (
    CLASS_QUERIES,
    CONSTRUCTORS,
    class_attribute_matters,
    inherits_trusted,
)
from flashode.capture.watching.trust import homemade, trusted_class
from flashode.capture.watching.watched import Container

if TYPE_CHECKING:
    from flashode.capture.watching.guards import Walk


def class_of(walk: Walk, variable: str, kind: type, label: str) -> None:
    """Adds the checks for the class of an object."""
    if not all(map(trusted_class, kind.__mro__)):
        class_(walk, f"type({variable})", kind, label)
        return
    walk.code.identical(f"type({variable})", kind)
    _forward(walk, kind)


def _forward(walk: Walk, kind: type) -> None:
    """Watches what a class of torch's does when called, once for all objects: it may have been replaced."""
    if not issubclass(kind, nn.Module) or (kind, "forward") in walk.known:
        return
    walk.known.add((kind, "forward"))
    expression = f"{walk.code.constant(kind)}.forward"
    if isinstance(kind.forward, types.FunctionType) and homemade(kind.forward):
        walk.value(expression, kind.forward, f"{kind.__qualname__}.forward")
    else:
        walk.code.identical(expression, kind.forward)


def class_(walk: Walk, expression: str, kind: type, label: str, made: bool = False) -> None:
    """Adds the checks for a class.

    Args:
        walk: the walk.
        expression: leads to the class.
        kind: the class.
        label: what it is called.
        made: whether the code has the class itself at hand, to make instances of it.
    """
    known = walk.met.get(id(kind))
    if known is not None:
        walk.code.same(expression, known[0])
        _constructors(walk, known[0], kind, made)
        return
    if not trusted_class(type(kind)):
        raise Refusal(
            f"{label} has the metaclass {type(kind).__qualname__}, which cannot be watched",
            remedy="use a class without a metaclass of its own",
        )
    # Weakly, so that a class made in a function can go.
    variable = walk.code.variable(expression)
    walk.code.identical(variable, weakref.ref(kind), weak=True)
    walk.met[id(kind)] = variable, kind
    walk.found.containers.append(Container(kind.__qualname__, kind, walk.code.owner))
    # Trusted code reads attributes that the user's code does not name.
    everything = walk.everything or inherits_trusted(kind)
    for position, base in enumerate(kind.__mro__):
        if trusted_class(base):
            if base is not nn.Module:
                _forward(walk, base)
            continue
        own = walk.code.variable(_space(variable, position))
        walk.code.length(own, len(base.__dict__))
        for name, attribute in list(base.__dict__.items()):
            if class_attribute_matters(name, attribute, walk.names, everything):
                _descriptor(walk, f"{own}[{name!r}]", attribute, f"{base.__qualname__}.{name}")
    _constructors(walk, variable, kind, made or not walk.names.isdisjoint(CLASS_QUERIES))


def _space(variable: str, position: int) -> str:
    return f"{variable}.__mro__[{position}].__dict__" if position else f"{variable}.__dict__"


def _constructors(walk: Walk, variable: str, kind: type, made: bool) -> None:
    if not made or id(kind) in walk.made:
        return
    walk.made.add(id(kind))
    for position, base in enumerate(kind.__mro__):
        for name in CONSTRUCTORS & base.__dict__.keys():
            if not trusted_class(base):
                inside = f"{_space(variable, position)}[{name!r}]"
                _descriptor(walk, inside, base.__dict__[name], f"{base.__qualname__}.{name}")


def _descriptor(walk: Walk, expression: str, attribute: Any, label: str) -> None:
    if isinstance(attribute, (staticmethod, classmethod)):
        walk.value(f"{expression}.__func__", attribute.__func__, label)
    elif isinstance(attribute, property):
        for part in ("fget", "fset"):
            walk.value(f"{expression}.{part}", getattr(attribute, part), label)
    elif type(attribute) is functools.cached_property:
        # What it has cached is among the attributes of the object.
        walk.code.identical(f"type({expression})", functools.cached_property)
        walk.value(f"{expression}.func", attribute.func, label)
        walk.value(f"{expression}.attrname", attribute.attrname, label)
    else:
        walk.value(expression, attribute, label)
