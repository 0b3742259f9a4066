"""Whether a capture still describes its function.

A function depends on things around it: attributes, closures, globals, defaults, classes. ``watch`` walks
them once from the function, and turns what it saw into straight-line checks that start from a function
again and hold on to nothing of the user's: a lambda made afresh over other tensors of the same kind passes
the checks of its predecessor. Checking so costs a few microseconds, a walk hundreds.
"""

from __future__ import annotations

import abc
import enum
import types
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from flashode.capture.guards import classes, containers, functions, namespaces, objects, sparse
from flashode.capture.guards.bytecode import CATCHES, IDENTITY, Executed, Reader, names_in
from flashode.capture.guards.compiled import original
from flashode.capture.guards.counting import idle_counters
from flashode.capture.guards.relevance import (
    HOOKS,
    intercepts,
    name_obstacle,
    tensor_obstacle,
)
from flashode.capture.guards.trust import forbidden, opaque, simple
from flashode.capture.guards.walk import Enough, Scope, Walk
from flashode.capture.guards.watched import Container, Watched
from flashode.capture.refusal import PLAIN, Refusal, with_article

# Asks what classes an object is of, which can be registered; a pattern that names a class asks as well.
_INSTANCE_QUERIES = frozenset(
    ["isinstance", "issubclass", "__instancecheck__", "__subclasscheck__", "getattr"]
)


def watch(func: Callable[..., Any], executed: Executed | None = None, *, beside: bool = False) -> Watched:
    """Walks everything that ``func`` depends on, or refuses, and names what cannot be watched.

    ``beside`` a captured function, for one that is only called: containers of plain data that are too deep or
    large are passed by, and what it reads of torch's state does not matter. The checks are then incomplete,
    but all code is found.

    Args:
        func: The function.
        executed: The code of its calls that has run. As long as nothing that this read is another, it is this
            code that runs; None for all code that it might lead to.
        beside: See above.
    """
    return _walked(func, Scope(executed, beside))


def reached(func: Callable[..., Any], modules: frozenset[str]) -> Watched:
    """Walks what ``func`` may lead to, before it has been called; what cannot be watched is passed by.

    Args:
        func: The function.
        modules: Where code is looked into beside the user's own.
    """
    return _walked(func, Scope(modules=modules))


def _walked(func: Callable[..., Any], scope: Scope) -> Watched:
    reader = Reader(scope.executed)
    # Of code that has run all names are known; other code is found by the names of what leads to it.
    ran = list(map(reader.names, scope.executed or ()))
    names = frozenset[str]().union(*(code.names for code in ran))
    implied = frozenset[str]().union(*(code.special for code in ran))
    while True:
        walk = Walk(_visit, scope, reader, names, implied)
        complete = _completed(walk, func)
        settled = walk.watched.names <= names and walk.watched.all_implied <= implied
        if walk.reasons and (settled or not complete):
            raise Refusal(*(reason.within(walk.watched.line(name)) for reason, name in walk.reasons.items()))
        if not complete:
            raise Refusal("it leads to too many objects", remedy=PLAIN)
        if settled:
            walk.code.distinct = not names.isdisjoint(IDENTITY)
            watched = walk.watched
            watched.idle = idle_counters(watched)
            for place in [place for place in watched.numbers if place[0] in watched.idle]:
                del watched.numbers[place]
            return watched
        # Code found on the way named more attributes; look at those too.
        names |= walk.watched.names
        implied |= walk.watched.all_implied


def _completed(walk: Walk, func: Callable[..., Any]) -> bool:
    """Walks from a function; returns whether it came to the end."""
    try:
        walk.value("root", func, "the function")
        namespaces.tensors(walk)
        namespaces.additions(walk)
        _registrations(walk)
        namespaces.assigned(walk)
        _names_in_strings(walk)
    except Enough:
        return False
    return True


def _names_in_strings(walk: Walk) -> None:
    """Notes what code may ask for by strings, and must not."""
    obstacle = name_obstacle(walk.concerning(walk.watched.names_in_strings))
    if obstacle is not None:
        walk.note(obstacle.of("it"), obstacle.name)


def _registrations(walk: Walk) -> None:
    """Adds the check that no class was registered as a subclass, where code asks for that."""
    if not walk.names.isdisjoint(_INSTANCE_QUERIES):
        token = walk.code.constant(abc.get_cache_token)
        with walk.counted(token):
            # It tells of every class that is registered, wherever that is.
            walk.code.simple(f"{token}()", abc.get_cache_token())


def _visit(walk: Walk, expression: str, value: Any, label: str, depth: int) -> None:
    """Adds the checks for one value, by its kind."""
    # Not by isinstance, which asks the object: a dead proxy raises, others claim to be what they are not.
    kind = type(value)
    if intercepts(kind):
        # The checks would run its code.
        name = with_article(kind.__qualname__)
        raise Refusal(f"{label} is {name}, which has code of its own for all attributes", remedy=PLAIN)
    if simple(value):
        _simple(walk, expression, value)
        if kind in (int, float) and walk.code.owner is not None:
            walk.watched.numbers[walk.code.owner, label] = value
        if kind is str:
            walk.watched.strings.update(names_in(value))
    elif forbidden(value):
        namespaces.note_call(walk, value.__name__, label)
    elif opaque(value):
        namespaces.trusted(walk, expression, value, label)
    elif (made_from := original(value)) is not None:
        _compiled(walk, expression, value, label, *made_from)
    elif kind is Tensor and sparse.holdable(value):
        sparse.matrix(walk, expression, value)
    elif issubclass(kind, Tensor):
        _tensor(walk, expression, value, label)
    elif issubclass(kind, nn.Module):
        objects.module(walk, expression, value, label)
    elif kind is types.FunctionType:
        functions.function(walk, expression, value, label)
    elif kind is types.MethodType:
        functions.method(walk, expression, value, label)
    elif issubclass(kind, partial):
        functions.partial_function(walk, expression, value, label)
    elif containers.known(kind):
        containers.container(walk, expression, value, label, depth)
    elif kind is np.ndarray:
        containers.array(walk, expression, value, label)
    elif issubclass(kind, type):
        classes.class_(walk, expression, value, label, constructed=True)
    else:
        objects.instance(walk, expression, value, label)


def _simple(walk: Walk, expression: str, value: Any) -> None:
    if not issubclass(type(value), enum.Enum):
        walk.code.simple(expression, value)
        return
    # Not by itself, so that an enum made in a function can go.
    walk.code.identical(f"type({expression})", weakref.ref(type(value)), weak=True)
    walk.code.simple(f"{expression}._value_", value._value_)


def _compiled(walk: Walk, expression: str, value: Any, label: str, made_from: Any, attribute: str) -> None:
    """What torch compiled does what it was made from does; its solves run that."""
    variable = walk.seen(expression, value)
    if variable is None:
        return
    walk.watched.compiles = True
    walk.code.identical(f"type({variable})", type(value))
    if isinstance(value, nn.Module):
        objects.note_hooks(walk, value, label)
        walk.code.empty(f"{variable}.__dict__", HOOKS)
    walk.value(f"{variable}.{attribute}", made_from, label)


def _tensor(walk: Walk, expression: str, tensor: Tensor, label: str) -> None:
    obstacle = tensor_obstacle(tensor)
    if obstacle is not None:
        raise Refusal(obstacle.of(label))
    variable = walk.seen(expression, tensor)
    if variable is None:
        return
    walk.code.tensor(variable, tensor)
    own = f"{variable}.__dict__"
    walk.watched.containers.append(Container(label, tensor.__dict__, walk.code.owner, own, of_object=True))
    wanted = None if walk.everything else walk.names
    walk.attributes(own, tensor.__dict__, label, (), wanted)
    if walk.everything or CATCHES in walk.names:
        walk.code.length(own, len(tensor.__dict__))
    walk.watched.slots[id(tensor)] = len(walk.watched.tensors)
    walk.watched.tensors.append(tensor)
    walk.watched.labels.append(label)
