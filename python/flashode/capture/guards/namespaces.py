"""What code takes from trusted classes and modules, where a user may have put things of his own.

They are too large to be watched as a whole: only the attributes that code names are, or may name.
"""

from __future__ import annotations

import sys
import types
from typing import Any

from torch import Tensor, nn

from flashode.capture.guards.bytecode import CATCHES
from flashode.capture.guards.library import followed, put, space_of
from flashode.capture.guards.relevance import CONSTRUCTORS, name_obstacle
from flashode.capture.guards.settings import setting_obstacle
from flashode.capture.guards.trust import forbidden, homemade, opaque, trusted_class
from flashode.capture.guards.walk import Walk
from flashode.capture.guards.watched import Container
from flashode.capture.refusal import Refusal
from flashode.declined import Reason

# Of a type's flags: nobody can assign to its attributes.
_IMMUTABLE = 1 << 8
# What every call of a module goes through, and every operation on a tensor.
_CALLS = ("__call__", "_call_impl", "__getattr__")
_ALWAYS = ("forward", "__torch_function__")


def trusted(walk: Walk, expression: str, value: Any, label: str) -> None:
    """Adds the check for something that is known by its identity alone."""
    walk.code.identical(expression, value)
    # A function may go by another name than the one that tells what it does.
    name = getattr(value, "__name__", "")
    obstacle = name_obstacle(walk.concerning({name}))
    if obstacle is not None:
        raise Refusal(obstacle.of(label))
    walk.watched.reached.add(name)
    _follow(walk, value)
    home = sys.modules.get(getattr(value, "__module__", None) or "")
    if home is not None and not isinstance(value, (type, types.ModuleType)):
        obstacle = setting_obstacle(home, name)
        if obstacle is not None:
            walk.note_obstacle(obstacle, label)
    walk.note_taking(value)


def trusted_bases(walk: Walk, kind: type) -> None:
    """Adds the checks for what code takes from a class's trusted bases, once for all its objects."""
    trusted = [base for base in kind.__mro__ if trusted_class(base) and not base.__flags__ & _IMMUTABLE]
    seen: set[type] = set()
    for base in trusted:
        _space(walk, base)
        if base not in seen and walk.first(base):
            _attributes(walk, base)
        # What is taken from it is taken from these as well.
        seen.update(base.__mro__)


def _space(walk: Walk, base: type) -> str:
    """What the checks call the attributes of a trusted class."""
    if base not in walk.bases:
        walk.bases[base] = walk.code.constant(base.__dict__)
        walk.spaces[walk.bases[base]] = base, base.__qualname__
    return walk.bases[base]


def _attributes(walk: Walk, kind: type) -> None:
    identical = []
    for name in sorted(_named(walk, kind)):
        base = next(base for base in kind.__mro__ if name in base.__dict__)
        value = base.__dict__[name]
        if not _looked_into(value):
            identical.append(name)
            _follow(walk, value)
        elif not base.__flags__ & _IMMUTABLE:
            space = _space(walk, base)
            with walk.code.owned_by((space, name)):
                walk.descriptor(f"{space}[{name!r}]", value, f"{base.__qualname__}.{name}")
    walk.code.attributes(kind, identical)
    if walk.everything or CATCHES in walk.names:
        walk.code.lacks(kind, [name for name in sorted(walk.names) if not hasattr(kind, name)])


def _named(walk: Walk, kind: type) -> set[str]:
    """The attributes of a trusted class that code may take."""
    own = {name: value for base in reversed(kind.__mro__) for name, value in base.__dict__.items()}
    named = walk.names.union(_ALWAYS, _CALLS if kind is nn.Module else walk.implied)
    if walk.everything:
        # By a name that is put together.
        named |= {name for name, value in own.items() if name[:2] != "__" and put(value)}
    # What is made, is made while the checks hold.
    return set(named & own.keys() - CONSTRUCTORS)


def additions(walk: Walk) -> None:
    """Adds the check that no trusted class has got an attribute, which may hide one of an object."""
    with walk.counted("spaces"):
        walk.code.lengths([held.__dict__ for held, _ in walk.spaces.values() if isinstance(held, type)])


def tensors(walk: Walk) -> None:
    """Adds the checks for what code takes from the class of the state, which it always has at hand."""
    trusted_bases(walk, nn.Parameter if nn.Parameter in map(type, walk.watched.tensors) else Tensor)


def module(walk: Walk, value: types.ModuleType) -> None:
    """Adds the checks for what code may take from a trusted module that it has at hand."""
    if not walk.first(value):
        return
    for name in sorted(walk.names):
        taken(walk, value, name)
    if walk.everything:
        # By a name that is put together.
        for name in [name for name, held in value.__dict__.items() if put(held)]:
            taken(walk, value, name)
        space = space_of(walk, value.__dict__, value.__name__)
        with walk.counted(space):
            walk.code.length(space, len(value.__dict__))


def taken(walk: Walk, value: types.ModuleType, name: str) -> None:
    """Adds the check for one thing that code takes from a trusted module: it may have been replaced."""
    if not walk.first(value, name):
        return
    obstacle = setting_obstacle(value, name)
    if obstacle is not None:
        walk.note_obstacle(obstacle, name)
    space = space_of(walk, value.__dict__, value.__name__)
    if name not in value.__dict__:
        if walk.everything or CATCHES in walk.names:
            walk.code.absent(space, name)
        return
    held = value.__dict__[name]
    if forbidden(held):
        note_call(walk, name, name)
    with walk.code.owned_by((space, name)):
        _held(walk, f"{space}[{name!r}]", held, f"{value.__name__}.{name}")
    walk.note_taking(held)


def note_call(walk: Walk, name: str, label: str) -> None:
    """Notes a builtin function that may do anything, which code has at hand under some label."""
    if name == "print":
        # Beside a captured function nothing is printed at other times than it would be.
        if not walk.beside:
            walk.note(Reason("it calls print()", "print after the solve"), label)
    else:
        walk.note(Reason(f"it calls {name}()", "leave the call out of func"), label)


def imported(walk: Walk, name: str) -> None:
    """Adds the checks for what code may take from a trusted module that it imports when it runs."""
    found = sys.modules.get(name)
    if not isinstance(found, types.ModuleType) or not opaque(found):
        raise Refusal(f"imports {name!r} when called", remedy="import it at the top of the file")
    if walk.first("import", name):
        modules = walk.code.constant(sys.modules)
        walk.code.identical(f"{modules}.get({name!r})", found)
        module(walk, found)
        if "." in name:
            imported(walk, name.rpartition(".")[0])


def builtin(walk: Walk, function: str, value: Any, name: str) -> None:
    """Adds the check for a builtin that a function uses: there may be others of that name."""
    space: dict[str, Any] = value.__builtins__
    known = walk.met.get(id(space))
    variable = known[0] if known else walk.code.variable(f"{function}.__builtins__")
    walk.met[id(space)] = variable, space
    if not walk.first(variable, name):
        return
    walk.spaces[variable] = space, "builtins"
    if name in space:
        with walk.code.owned_by((variable, name)):
            _held(walk, f"{variable}[{name!r}]", space[name], f"the builtin {name!r}")
    else:
        walk.code.absent(variable, name)


def assigned(walk: Walk) -> None:
    """Notes what code may assign to in trusted classes and modules: a call that does must be undone."""
    names: set[str] = set()
    for code in walk.watched.codes.values():
        names |= code.names | code.strings if "setattr" in code.names else code.assigned
    for variable, (held, label) in walk.spaces.items():
        space = held.__dict__ if isinstance(held, type) else held
        places = frozenset(names & space.keys())
        if places:
            walk.watched.containers.append(Container(label, held, None, variable, places=places))


def _held(walk: Walk, expression: str, value: Any, label: str) -> None:
    if forbidden(value):
        return
    if _looked_into(value):
        walk.descriptor(expression, value, label)
        return
    walk.code.identical(expression, value)
    _follow(walk, value)


def _looked_into(value: Any) -> bool:
    """Whether what a trusted class or module holds may be the user's, and more than what it is."""
    return type(value) in (int, float) or homemade(value)


def _follow(walk: Walk, value: Any) -> None:
    if issubclass(type(value), type):
        trusted_bases(walk, value)
    elif isinstance(value, types.ModuleType):
        module(walk, value)
    else:
        followed(walk, value)
