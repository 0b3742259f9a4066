"""What the behaviour of a function hangs on: its code, defaults, closure and globals."""

from __future__ import annotations

import types
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from flashode.capture.calling.printing import watchable
from flashode.capture.refusal import PLAIN
from flashode.capture.watching import classes
from flashode.capture.watching.bytecode import CATCHES, CodeNames, read
from flashode.capture.watching.counting import only_counts
from flashode.capture.watching.relevance import code_obstacle
from flashode.capture.watching.trust import (
    FORBIDDEN_BUILTINS,
    forbidden,
    homemade,
    innermost,
    opaque,
    trusted_function,
)
from flashode.capture.watching.watched import Container
from flashode.declined import Reason

if TYPE_CHECKING:
    from flashode.capture.watching.guards import Walk


_DRAWN = "draw the numbers once, before the solve, and let func read the tensor"
# Modules whose functions give something else at each call.
_CHANGING = {
    "random": _DRAWN,
    "numpy.random": _DRAWN,
    "time": "use t, the time of the solve, or read the clock before the solve",
}


def function(walk: Walk, expression: str, value: types.FunctionType, label: str) -> None:
    """Adds the checks for a function."""
    if trusted_function(value):
        if value.__closure__ is None:
            walk.trusted(expression, value, label)
        else:
            _trusted_wrapper(walk, expression, value, label)
        return
    variable = walk.seen(expression, value)
    if variable is None:
        return
    walk.code.simple(f"{variable}.__code__", value.__code__)
    names = _noted(walk, value.__code__, label)
    for attribute in ("__defaults__", "__kwdefaults__"):
        with walk.code.owned_by((variable, attribute)):
            walk.value(f"{variable}.{attribute}", getattr(value, attribute), f"a default of {label}")
    cells = value.__closure__ or ()
    for position, (name, cell) in enumerate(zip(value.__code__.co_freevars, cells, strict=True)):
        inside, inner = f"{variable}.__closure__[{position}]", f"{name!r}, closed over by {label},"
        _cell(walk, inside, cell, name, inner)
    if value.__dict__:
        own = walk.dictionary(f"{variable}.__dict__", value.__dict__, label)
        skipped = () if walk.everything or "__wrapped__" in walk.names else ("__wrapped__",)
        walk.attributes(own, value.__dict__, label, skipped, None if walk.everything else walk.names)
    _globals(walk, variable, value, names)


def method(walk: Walk, expression: str, value: types.MethodType, label: str) -> None:
    """Adds the checks for a bound method."""
    variable = walk.code.variable(expression)
    walk.value(f"{variable}.__self__", value.__self__, f"{label}.__self__")
    walk.value(f"{variable}.__func__", value.__func__, label)


def partial_function(walk: Walk, expression: str, value: partial[Any], label: str) -> None:
    """Adds the checks for a ``functools.partial``."""
    variable = walk.code.variable(expression)
    walk.code.identical(f"type({variable})", partial)
    walk.value(f"{variable}.func", value.func, label)
    for attribute in ("args", "keywords"):
        with walk.code.owned_by((variable, attribute)):
            walk.value(f"{variable}.{attribute}", getattr(value, attribute), f"an argument of {label}")


def _trusted_wrapper(walk: Walk, expression: str, value: types.FunctionType, label: str) -> None:
    variable = walk.seen(expression, value)
    if variable is None:
        return
    walk.code.simple(f"{variable}.__code__", value.__code__)
    for position, (name, cell) in enumerate(
        zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    ):
        inside = f"{variable}.__closure__[{position}]"
        owner = getattr(cell.cell_contents, "__self__", None)
        if isinstance(owner, torch.utils._contextlib._DecoratorContextManager):
            # The grad mode or the like that decorates a user's function.
            walk.code.identical(f"type({inside}.cell_contents.__self__)", type(owner))
        else:
            _cell(walk, inside, cell, name, label)


def _noted(walk: Walk, code: types.CodeType, label: str) -> CodeNames:
    names = read(code)
    walk.found.codes[code] = names
    counted = {name for name in names.assigned_globals if only_counts(code, name)}
    obstacle = code_obstacle(names, names.assigned_globals - counted)
    if obstacle is not None:
        walk.note(Reason(f"{label} {obstacle.what}", obstacle.remedy), obstacle.name)
    return names


def _cell(walk: Walk, expression: str, cell: types.CellType, name: str, label: str) -> None:
    owner = (expression, "cell_contents")
    walk.found.containers.append(Container(label, cell, owner, expression, name=name))
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
    walk.found.spaces.add(dictionary)
    for name in names.assigned_globals:
        container = Container(
            f"the global {name!r}", space, (dictionary, name), dictionary, places=frozenset({name})
        )
        walk.found.containers.append(container)
    done: set[str] = set()
    for name, chain in names.globals:
        if name in done and not issubclass(type(space.get(name)), types.ModuleType):
            continue
        done.add(name)
        label = f"the global {name!r}"
        if name not in space:
            walk.code.absent(dictionary, name)
            if name in FORBIDDEN_BUILTINS:
                _forbidden(walk, name, handed=name in names.handed)
        elif issubclass(type(space[name]), types.ModuleType):
            _through_module(walk, f"{dictionary}[{name!r}]", space[name], chain, label)
        else:
            with walk.code.owned_by((dictionary, name)):
                walk.value(f"{dictionary}[{name!r}]", space[name], label)


def _forbidden(walk: Walk, name: str, handed: bool) -> None:
    # Printing can be seen when it happens, unless something else calls it, or code goes on after that.
    if name != "print" or handed or CATCHES in walk.names or not watchable():
        walk.note(_called(name), name)
    walk.found.prints = True


def _called(name: str) -> Reason:
    """What is to be said of a builtin function that may do anything."""
    printing = "print after the solve"
    return Reason(f"it calls {name}()", printing if name == "print" else "leave the call out of func")


def _through_module(
    walk: Walk, expression: str, module: types.ModuleType, chain: tuple[str, ...], label: str
) -> None:
    """A module is watched only in what is taken from it."""
    if opaque(module):
        inside, depth = innermost(module, chain)
        if not opaque(inside):
            remedy = _CHANGING.get(inside.__name__, "write it with torch's functions")
            walk.note(Reason(f"{label} leads to {inside.__name__}, which keeps hidden state", remedy), label)
            return
        walk.code.identical(expression, module)
        if depth < len(chain):
            _taken(walk, inside, chain[depth])
        return
    if module.__name__ in _CHANGING:
        walk.note(Reason(f"{label} changes by itself", _CHANGING[module.__name__]), label)
        return
    if not chain or not hasattr(module, chain[0]):
        walk.note(Reason(f"{label} is a module, used otherwise than through its attributes", PLAIN), label)
        return
    taken = getattr(module, chain[0])
    inner, label = f"{expression}.__dict__[{chain[0]!r}]", f"{label}.{chain[0]}"
    if isinstance(taken, types.ModuleType):
        _through_module(walk, inner, taken, chain[1:], label)
    else:
        walk.value(inner, taken, label)


def _taken(walk: Walk, module: types.ModuleType, name: str) -> None:
    """What is taken from a trusted module is watched as well: it may have been replaced."""
    if name not in module.__dict__ or (module, name) in walk.known:
        return
    walk.known.add((module, name))
    expression, value = f"{walk.code.constant(module)}.{name}", module.__dict__[name]
    if forbidden(value):
        walk.note(_called(name), name)
    elif homemade(value):
        walk.value(expression, value, f"{module.__name__}.{name}")
    else:
        walk.code.identical(expression, value)
        walk.note_taking(value)
