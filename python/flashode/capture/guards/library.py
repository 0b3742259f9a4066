"""What trusted code itself takes from modules: a user may have put something else there."""

from __future__ import annotations

import sys
import types
from typing import Any

from flashode.capture.guards.bytecode import read
from flashode.capture.guards.trust import (
    homemade,
    library_of,
    opaque,
    simple,
    trusted_class,
    trusted_function,
)
from flashode.capture.guards.walk import Walk

# Whose functions are looked into: fields are made of these, and what they call in turn is written in C.
_READ = ("torch.nn.", "torch.functional")
# What calls modules looks at more than a call depends on.
_CALLING = "torch.nn.modules.module"


def space_of(walk: Walk, space: dict[str, Any], label: str) -> str:
    """What the checks call a trusted module's dictionary."""
    if id(space) not in walk.met:
        walk.met[id(space)] = walk.code.constant(space), space
    variable = walk.met[id(space)][0]
    walk.spaces[variable] = space, label
    return variable


def followed(walk: Walk, function: Any) -> None:
    """Adds the checks for what a trusted function of torch's takes from modules."""
    if type(function) is property:
        function = function.fget
    elif type(function) in (staticmethod, classmethod):
        function = function.__func__
    if type(function) is not types.FunctionType or function in walk.followed:
        return
    walk.followed.add(function)
    if not trusted_function(function):
        return
    home = function.__globals__["__name__"]
    if home == _CALLING or not home.startswith(_READ):
        return
    names = read(function.__code__)
    walk.watched.implied.update(names.names, names.special)
    for name, chain in names.globals:
        if name not in names.assigned_globals:
            _along(walk, function.__globals__, (name, *chain))


def _along(walk: Walk, space: dict[str, Any], path: tuple[str, ...]) -> None:
    for name in path:
        if name not in space:
            return
        value = space[name]
        home = space_of(walk, space, space["__name__"])
        if walk.first(space["__name__"], name):
            if simple(value):
                # A setting of torch's may be another in the backward pass: a cache that is on and off again.
                walk.watched.counts.add((home, name))
            with walk.code.owned_by((home, name)):
                _taken(walk, f"{home}[{name!r}]", value, name)
        if not issubclass(type(value), types.ModuleType) or not opaque(value):
            return
        space = value.__dict__


def _taken(walk: Walk, expression: str, value: Any, name: str) -> None:
    if simple(value):
        walk.code.simple(expression, value)
    elif put(value) and callable(value):
        walk.value(expression, value, name)
    else:
        walk.code.identical(expression, value)
        followed(walk, value)


def put(value: Any) -> bool:
    """Whether something in a trusted module or class may be none of what is there by itself."""
    kind = type(value)
    if kind in (property, staticmethod, classmethod):
        return homemade(value)
    if kind is types.FunctionType:
        return homemade(value) and library_of(value) not in sys.stdlib_module_names
    if kind in (int, float):
        return True
    foreign = kind.__module__.partition(".")[0] not in sys.stdlib_module_names and not trusted_class(kind)
    return foreign and not issubclass(kind, (type, types.ModuleType))
