"""Whether code uses a counter for nothing but counting.

Anything else could let the count reach the result.
"""

from __future__ import annotations

import dis
import types
from typing import Any

from flashode.capture.guards.bytecode import Reader, is_constant
from flashode.capture.guards.guard_code import Owner
from flashode.capture.guards.relevance import REFLECTION
from flashode.capture.guards.watched import Container, Watched

_ADDITIONS = ("+", "+=")
_STORES = ("STORE_ATTR", "STORE_DEREF", "STORE_GLOBAL", "STORE_NAME")
ASSIGNMENTS = (*_STORES, "DELETE_ATTR", "DELETE_DEREF", "DELETE_GLOBAL", "DELETE_NAME")
_MOVES = ("SWAP", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_DEREF")


def idle_counters(watched: Watched) -> frozenset[Owner]:
    """Attributes that the code counts with, if it runs at all, and that nothing else reads.

    No result can depend on them, whatever they are.
    """
    objects = {c.variable: c for c in watched.containers if c.of_object and c.variable not in watched.foreign}
    return frozenset(
        (variable, key)
        for (variable, key), _ in watched.numbers
        if variable in objects
        and any(_uses(watched.reader, code, key) for code in watched.codes)
        and merely_counted(watched, objects[variable], key)
    )


def merely_counted(watched: Watched, container: Container, key: Any) -> bool:
    """Whether all code that may run uses a place in a container for nothing but counting."""
    codes, reader = watched.codes, watched.reader
    if not watched.names.isdisjoint(REFLECTION - {"hasattr"}):
        return False
    if container.of_object or container.places is not None:
        return isinstance(key, str) and all(only_counts(reader, code, key) for code in codes)
    if container.name:
        return all(only_counts(reader, code, container.name) for code in codes)
    name = watched.name_of(container)
    return name is not None and all(_only_counts_item(reader, code, name, key) for code in codes)


def only_counts(reader: Reader, code: types.CodeType, name: str) -> bool:
    """Whether an attribute or variable is used and assigned in steps ``name = name + constant`` alone."""
    uses = _uses(reader, code, name)
    assigned = [
        instruction
        for part in reader.parts(code)
        for instruction in reader.instructions(part)
        if instruction.opname in ASSIGNMENTS and instruction.argval == name
    ]
    return len(assigned) == len(uses) and all(_is_step(following, name) for following in uses)


def _only_counts_item(reader: Reader, code: types.CodeType, name: str, key: Any) -> bool:
    """Whether each use of a container called ``name`` is ``name[key] += constant``, or of another key."""
    return all(_is_item_step(following, key) for following in _uses(reader, code, name))


def _uses(reader: Reader, code: types.CodeType, name: str) -> list[list[dis.Instruction]]:
    """What follows each load of a thing of this name."""
    uses = []
    for part in reader.parts(code):
        listed = reader.instructions(part)
        for position, instruction in enumerate(listed):
            loads = instruction.opname.startswith("LOAD_") and instruction.opname != "LOAD_CLOSURE"
            named = instruction.argval == name or (
                isinstance(instruction.argval, tuple) and name in instruction.argval
            )
            if loads and named:
                # As a constant it may be the name that something is asked for by.
                uses.append([] if instruction.opname == "LOAD_CONST" else listed[position + 1 :])
    return uses


def _is_step(following: list[dis.Instruction], name: str) -> bool:
    if len(following) < 3 or not _adds(following):
        return False
    for instruction in following[2:]:
        if instruction.opname in _STORES:
            return bool(instruction.argval == name)
        if instruction.opname not in _MOVES or instruction.argval == name:
            return False
    return False


def _is_item_step(following: list[dis.Instruction], key: Any) -> bool:
    if len(following) < 2 or not is_constant(following[0]):
        return False
    used, after = following[0].argval, following[1:]
    if used != key:
        # A negative index may lead to the same item.
        other = isinstance(used, str) or (isinstance(used, int) and used >= 0)
        return other and (_is_subscript(after[0]) or _is(after[0], "COPY", 2))
    return (
        len(after) >= 8
        and _is(after[0], "COPY", 2)
        and _is(after[1], "COPY", 2)
        and _is_subscript(after[2])
        and _adds(after[3:])
        and _is(after[5], "SWAP", 3)
        and _is(after[6], "SWAP", 2)
        and after[7].opname == "STORE_SUBSCR"
    )


def _adds(following: list[dis.Instruction]) -> bool:
    constant, operation = following[:2]
    return (
        is_constant(constant)
        and type(constant.argval) is int
        and operation.opname == "BINARY_OP"
        and operation.argrepr in _ADDITIONS
    )


def _is_subscript(instruction: dis.Instruction) -> bool:
    return instruction.opname == "BINARY_SUBSCR" or instruction.argrepr == "[]"


def _is(instruction: dis.Instruction, name: str, argument: int) -> bool:
    return instruction.opname == name and instruction.arg == argument
