"""Which attributes torch's own modules read when they are called: the others need no watching."""

from __future__ import annotations

import types
from functools import lru_cache
from typing import Any

from torch import nn

from flashode.capture.guards.bytecode import instructions, read
from flashode.capture.guards.trust import trusted_class, trusted_function

_UNUSED = {"__init__", "__repr__", "__setstate__", "__dir__"}
_CALLING = ("__call__", "_call_impl", "_wrapped_call_impl", "__getattr__", "__getattribute__")


@lru_cache(maxsize=256)
def attributes_read(
    kind: type[Any], forward: types.FunctionType, names: frozenset[str] = frozenset()
) -> frozenset[str] | None:
    """The attributes that the use of a module of torch's own class may read; None if that cannot be told.

    Args:
        kind: the class.
        forward: its method of that name, which may be replaced.
        names: what the code that uses it names besides; of these, methods of the class count.
    """
    if not all(map(trusted_class, kind.__mro__)) or not trusted_function(forward):
        return None
    if any(getattr(kind, name, None) is not getattr(nn.Module, name, None) for name in _CALLING):
        return None
    spaces = [base.__dict__ for base in kind.__mro__ if base not in (nn.Module, object)]
    # Asked of the class itself, some attributes come into being.
    special = {name: value for space in spaces for name, value in space.items() if name[:2] == "__"}
    if any(callable(value) for name, value in special.items() if name not in _UNUSED):
        # It is a container, or the like.
        return None
    found: set[str] = set()
    looked_at: set[str] = set()
    waiting = ["forward", *(name for name in sorted(names) if callable(getattr(kind, name, None)))]
    for name in waiting:
        if name in looked_at:
            continue
        looked_at.add(name)
        method = forward if name == "forward" else getattr(kind, name)
        taken = _of_self(method) if isinstance(method, types.FunctionType) else None
        if taken is None:
            return None
        found |= taken
        # A method of its own reads attributes in turn.
        waiting.extend(attribute for attribute in taken if hasattr(kind, attribute))
    return frozenset(found)


@lru_cache(maxsize=256)
def names_used(kind: type[Any]) -> frozenset[str]:
    """All names in the code of a class of torch's, less what it has of ``nn.Module``."""
    spaces = [base.__dict__ for base in kind.__mro__ if base not in (nn.Module, object)]
    names: set[str] = set()
    for value in (value for space in spaces for value in space.values()):
        if isinstance(value, types.FunctionType):
            names |= read(value.__code__).names
    return frozenset(names)


def _of_self(method: types.FunctionType) -> set[str] | None:
    """The attributes that a method reads of its instance; None if it does something else with it."""
    code = method.__code__
    if not code.co_argcount or method.__closure__ or code.co_cellvars:
        return None
    own = code.co_varnames[0]
    found: set[str] = set()
    listed = instructions(code)
    for position, instruction in enumerate(listed):
        named = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
        if own not in named or instruction.opname == "LOAD_CONST":
            continue
        last = named[-1] == own and named.count(own) == 1 and "LOAD_FAST" in instruction.opname
        following = listed[position + 1]
        if not last or following.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            return None
        found.add(following.argval)
    return found
