"""What the behaviour of a function depends on: its code, defaults, closure and globals."""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from flashode.capture.guards import classes, namespaces
from flashode.capture.guards.bytecode import CATCHES, CodeNames
from flashode.capture.guards.counting import only_counts
from flashode.capture.guards.relevance import name_obstacle
from flashode.capture.guards.trust import (
    FORBIDDEN_BUILTINS,
    innermost,
    opaque,
    trusted_class,
    trusted_function,
)
from flashode.capture.guards.walk import Walk
from flashode.capture.guards.watched import Container
from flashode.capture.refusal import PLAIN
from flashode.declined import Reason

_CONTEXT = torch.utils._contextlib._DecoratorContextManager
_DRAWN = "draw the numbers once, before the solve, and let func read the tensor"
# What is asked of torch.jit, and is the same in every solve: compilers leave these alone.
_OF_COMPILERS = (("is_scripting",), ("is_tracing",))
# Modules whose functions give something else at each call.
_CHANGING = {
    "random": _DRAWN,
    "numpy.random": _DRAWN,
    "time": "use t, the time of the solve, or read the clock before the solve",
}


# By these code looks into a function that it does not call.
_PARTS = frozenset(["__defaults__", "__kwdefaults__", "__closure__", "cell_contents"])


def home_of(func: Any) -> list[str]:
    """The modules where a function, or what an object does when it is called, is written."""
    while isinstance(func, (partial, types.MethodType)):
        func = func.func if isinstance(func, partial) else func.__func__
    if isinstance(func, types.FunctionType):
        return [func.__globals__.get("__name__", "")]
    return [base.__module__ for base in type(func).__mro__ if not trusted_class(base)]


def function(walk: Walk, expression: str, value: types.FunctionType, label: str) -> None:
    """Adds the checks for a function; a trusted one with a closure may wrap one of the user's."""
    trusted = trusted_function(value)
    if trusted and value.__closure__ is None:
        namespaces.trusted(walk, expression, value, label)
        return
    variable = walk.seen(expression, value)
    if variable is None:
        return
    walk.code.identical(f"type({variable})", types.FunctionType)
    walk.code.simple(f"{variable}.__code__", value.__code__)
    walk.descriptions(variable, value, label)
    _own_attributes(walk, variable, value, label)
    if not (trusted or walk.enters(value) or walk.everything or not walk.names.isdisjoint(_PARTS)):
        return
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    for position, (name, cell) in enumerate(cells):
        inside = f"{variable}.__closure__[{position}]"
        if not trusted:
            _cell(walk, inside, cell, name, f"{name!r}, closed over by {label},")
        elif not _context(walk, f"{inside}.cell_contents", cell.cell_contents, label):
            _cell(walk, inside, cell, name, label)
    if trusted:
        return
    _defaults(walk, variable, value, label)
    _globals(walk, variable, value, _noted(walk, value.__code__, label))


def _defaults(walk: Walk, variable: str, value: types.FunctionType, label: str) -> None:
    """Adds the checks for the defaults of a function's parameters."""
    code, defaults, named = value.__code__, value.__defaults__, value.__kwdefaults__
    last = code.co_varnames[code.co_argcount - len(defaults or ()) : code.co_argcount]
    for attribute, held, names in (
        ("__defaults__", defaults, dict(enumerate(last))),
        ("__kwdefaults__", named, {name: name for name in named or ()}),
    ):
        place = f"{variable}.{attribute}"
        if held is None:
            walk.code.simple(place, None)
        else:
            walk.code.length(place, len(held))
            _parts(walk, place, held, names, f"a default of {label},")


def _parts(walk: Walk, expression: str, held: Any, names: Mapping[Any, str], label: str) -> None:
    """Adds the checks for values of which each is one of a function's parameters."""
    for place in range(len(held)) if isinstance(held, tuple) else held:
        with walk.code.owned_by((expression, place)):
            walk.value(f"{expression}[{place!r}]", held[place], f"{names.get(place, place)!r}, {label}")


def _own_attributes(walk: Walk, variable: str, value: Any, label: str) -> None:
    """Adds the checks for the attributes that a function or a partial was given."""
    if value.__dict__:
        own = walk.dictionary(f"{variable}.__dict__", value.__dict__, label)
        skipped = () if walk.everything or "__wrapped__" in walk.names else ("__wrapped__",)
        walk.attributes(own, value.__dict__, label, skipped, None if walk.everything else walk.names)
    elif walk.everything or CATCHES in walk.names:
        walk.code.length(f"{variable}.__dict__", 0)


def method(walk: Walk, expression: str, value: types.MethodType, label: str) -> None:
    """Adds the checks for a bound method."""
    variable = walk.code.variable(expression)
    walk.code.identical(f"type({variable})", types.MethodType)
    walk.value(f"{variable}.__self__", value.__self__, f"{label}.__self__")
    walk.value(f"{variable}.__func__", value.__func__, label)


def partial_function(walk: Walk, expression: str, value: partial[Any], label: str) -> None:
    """Adds the checks for a ``functools.partial``."""
    variable = walk.code.variable(expression)
    walk.code.identical(f"type({variable})", partial)
    walk.value(f"{variable}.func", value.func, label)
    code = value.func.__code__ if type(value.func) is types.FunctionType else None
    names = dict(enumerate(code.co_varnames[: code.co_argcount])) if code is not None else {}
    walk.code.length(f"{variable}.args", len(value.args))
    walk.code.keys(f"{variable}.keywords", value.keywords)
    for attribute in ("args", "keywords"):
        held = getattr(value, attribute)
        _parts(walk, f"{variable}.{attribute}", held, names, f"an argument of {label},")
    _own_attributes(walk, variable, value, label)


def _context(walk: Walk, expression: str, content: Any, label: str) -> bool:
    """Adds the checks for the grad mode or the like that decorates a user's function; whether it is one."""
    owner = content.__self__ if type(content) is types.MethodType else None
    if not isinstance(owner, _CONTEXT) or not trusted_class(type(owner)):
        return False
    walk.code.identical(f"{expression}.__func__", content.__func__)
    context = walk.code.variable(f"{expression}.__self__")
    walk.code.identical(f"type({context})", type(owner))
    own = walk.dictionary(f"{context}.__dict__", owner.__dict__, label, ordered=True)
    # The last is where it puts the mode that it found.
    walk.attributes(own, owner.__dict__, label, ("prev",), None)
    return True


def _noted(walk: Walk, code: types.CodeType, label: str) -> CodeNames:
    names = walk.reader.names(code)
    walk.watched.codes[code] = names
    assigned = [name for name in sorted(names.assigned_globals) if not only_counts(walk.reader, code, name)]
    obstacle = name_obstacle(walk.concerning(names.names))
    if obstacle is not None:
        walk.note(obstacle.of(label), obstacle.name)
    elif assigned and not walk.lenient:
        what = f"{label} assigns the global {assigned[0]!r}"
        walk.note(Reason(what, "return what func computes, and assign nothing"), assigned[0])
    for module in sorted(names.imports):
        namespaces.imported(walk, module)
    return names


def _cell(walk: Walk, expression: str, cell: types.CellType, name: str, label: str) -> None:
    owner = (expression, "cell_contents")
    walk.watched.containers.append(Container(label, cell, owner, expression, name=name))
    with walk.code.owned_by(owner):
        try:
            content = cell.cell_contents
        except ValueError:
            # It has no value yet. Cells are equal if their contents are: only an empty one equals this one.
            walk.code.holds(f"{expression} == {walk.code.constant(types.CellType())}")
            return
        if name == "__class__" and isinstance(content, type):
            # What super() needs; that makes no instances.
            classes.class_(walk, f"{expression}.cell_contents", content, label)
        else:
            walk.value(f"{expression}.cell_contents", content, label)


def _globals(walk: Walk, variable: str, value: types.FunctionType, names: CodeNames) -> None:
    if not names.globals:
        return
    space = value.__globals__
    known = walk.met.get(id(space))
    dictionary = known[0] if known else walk.code.variable(f"{variable}.__globals__")
    walk.met[id(space)] = dictionary, space
    if known:
        walk.code.same(f"{variable}.__globals__", dictionary)
    walk.watched.spaces.add(dictionary)
    for name in names.assigned_globals:
        container = Container(
            f"the global {name!r}", space, (dictionary, name), dictionary, places=frozenset({name})
        )
        walk.watched.containers.append(container)
    done: set[str] = set()
    for name, chain in names.globals:
        if name in done and not issubclass(type(space.get(name)), types.ModuleType):
            continue
        done.add(name)
        label = f"the global {name!r}"
        if name not in space:
            walk.code.absent(dictionary, name)
            namespaces.builtin(walk, variable, value, name)
            if name in FORBIDDEN_BUILTINS:
                namespaces.note_call(walk, name, name)
        elif issubclass(type(space[name]), types.ModuleType):
            _through_module(walk, f"{dictionary}[{name!r}]", space[name], chain, label)
        else:
            with walk.code.owned_by((dictionary, name)):
                walk.value(f"{dictionary}[{name!r}]", space[name], label)


def _through_module(
    walk: Walk, expression: str, module: types.ModuleType, chain: tuple[str, ...], label: str
) -> None:
    """A module is watched only in what is taken from it."""
    if walk.lenient and (not opaque(module) or not opaque(innermost(module, chain)[0])):
        _reached_through(walk, expression, module, chain, label)
        return
    if opaque(module):
        inside, depth = innermost(module, chain)
        if not opaque(inside) and not (inside is torch.jit and chain[depth : depth + 1] in _OF_COMPILERS):
            remedy = _CHANGING.get(inside.__name__, "write it with torch's functions")
            walk.note(Reason(f"{label} leads to {inside.__name__}, which keeps hidden state", remedy), label)
            return
        walk.code.identical(expression, module)
        if depth < len(chain):
            namespaces.taken(walk, inside, chain[depth])
        else:
            namespaces.module(walk, inside)
        return
    if module.__name__ in _CHANGING:
        walk.note(Reason(f"{label} changes by itself", _CHANGING[module.__name__]), label)
        return
    if not chain or not hasattr(module, chain[0]):
        walk.note(Reason(f"{label} is a module, used otherwise than through its attributes", PLAIN), label)
        return
    if chain[0] not in module.__dict__ or chain[0] in dir(type(module)):
        walk.note(Reason(f"{label}.{chain[0]} is computed by its module", PLAIN), label)
        return
    walk.code.identical(f"type({expression})", type(module))
    taken = module.__dict__[chain[0]]
    inner, label = f"{expression}.__dict__[{chain[0]!r}]", f"{label}.{chain[0]}"
    if isinstance(taken, types.ModuleType):
        _through_module(walk, inner, taken, chain[1:], label)
    else:
        walk.value(inner, taken, label)


def _reached_through(
    walk: Walk, expression: str, module: types.ModuleType, chain: tuple[str, ...], label: str
) -> None:
    """What may be called of a module, before anything has run; a module itself is harmless."""
    taken = module.__dict__.get(chain[0]) if chain else None
    if isinstance(taken, types.ModuleType):
        _reached_through(walk, expression, taken, chain[1:], label)
    elif taken is not None and not opaque(module):
        walk.value(f"{expression}.__dict__[{chain[0]!r}]", taken, f"{label}.{chain[0]}")
