"""Whether one function, called while a capture stands for another, could notice that or make it untrue.

It must not read the other's counters, which stand still meanwhile, and must not change what the other reads.
Nothing is known about what it does when, so that what its code could do counts.
"""

from __future__ import annotations

import dis
import types
from collections.abc import Collection
from typing import Any

from torch import nn

from flashode.capture.watching.bytecode import instructions, nested
from flashode.capture.watching.counting import ASSIGNMENTS, only_counts
from flashode.capture.watching.relevance import LOOKS_INTO
from flashode.capture.watching.watched import Container, Watched

_SETTERS = frozenset(
    ["setattr", "delattr", "__setattr__", "__delattr__", "__dict__", "vars", "modules", LOOKS_INTO]
)
# Methods that change a module, beside those whose names end in an underscore.
_OF_MODULES = frozenset(
    [name for name in dir(nn.Module) if name.startswith(("register_", "set_", "load_", "add_"))]
    + ["train", "eval", "apply", "_apply", "to", "to_empty", "float", "double", "half", "bfloat16", "type"]
    + ["cpu", "cuda", "zero_grad", "compile"]
)
_ATTRIBUTES = ("LOAD_ATTR", "LOAD_METHOD")
_MOVES = ("SWAP", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_DEREF")


def obstacle(meddler: Watched, watched: Watched, counted: Collection[Any]) -> str | None:
    """What speaks against calling a function while a capture stands for another; None if nothing does.

    Args:
        meddler: what the function hangs on.
        watched: what the captured one does.
        counted: the places of its counters, as in ``Capture.counters``.
    """
    if not {place for (_, place), _ in meddler.numbers}.isdisjoint(counted):
        return "reads a number of the same name as one that it counts with"
    if _assigns(meddler, watched) or _changes(meddler, watched):
        return "may change what it reads"
    return None


def _assigns(meddler: Watched, watched: Watched) -> bool:
    """Whether the code assigns a name, otherwise than by counting, that the other's code has."""
    read = watched.names | {container.name for container in watched.containers}
    codes = {*meddler.codes, *watched.codes}
    assigned = {
        instruction.argval
        for code in meddler.codes
        for part in nested(code)
        for instruction in instructions(part)
        if instruction.opname in ASSIGNMENTS
    }
    return any(not all(only_counts(code, name) for code in codes) for name in assigned & read)


def _changes(meddler: Watched, watched: Watched) -> bool:
    """Whether the code may change in place what both have at hand."""
    ours = {id(container.held): container for container in watched.containers}
    shared = [ours[id(container.held)] for container in meddler.containers if id(container.held) in ours]
    if not all(map(_by_name, shared)):
        return True
    memory = {tensor.untyped_storage().data_ptr() for tensor in watched.tensors}
    tensors = any(tensor.untyped_storage().data_ptr() in memory for tensor in meddler.tensors)
    if not (shared or tensors):
        return False
    if not meddler.names.isdisjoint(_SETTERS):
        return True
    names = {label.rpartition(".")[2] for label in meddler.labels}
    steps = {place for _, place in meddler.idle} - names
    return any(_writes(part, steps) for code in meddler.codes for part in nested(code))


def _by_name(container: Container) -> bool:
    """Whether it changes only where code assigns a name."""
    named = container.of_object or container.places is not None
    return named or isinstance(container.held, (type, types.CellType))


def _writes(code: types.CodeType, steps: Collection[Any]) -> bool:
    """Whether code may write into a tensor, or change a module otherwise than by assignment.

    Args:
        code: the code, of which what is nested in it is no part.
        steps: attributes that are numbers and that are only counted in.
    """
    if any("out" in constant for constant in code.co_consts if type(constant) is tuple):
        return True
    listed = instructions(code)
    for position, instruction in enumerate(listed):
        if instruction.opname != "BINARY_OP":
            if _is_write(instruction):
                return True
        elif instruction.argrepr.endswith("="):
            target = next(i for i in listed[position + 1 :] if i.opname not in _MOVES)
            # A local name may be another one of something shared.
            if target.opname != "STORE_ATTR" or target.argval not in steps:
                return True
    return False


def _is_write(instruction: dis.Instruction) -> bool:
    name, argument = instruction.opname, instruction.argval
    if name in ("STORE_ATTR", "DELETE_ATTR"):
        return bool(argument == "data")
    if name in _ATTRIBUTES:
        return argument in _OF_MODULES or (argument.endswith("_") and not argument.endswith("__"))
    return name in ("STORE_SUBSCR", "DELETE_SUBSCR", "STORE_SLICE")
