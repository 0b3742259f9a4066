"""Whether code uses a counter for nothing but counting.

Anything else could let the count reach the result.
"""

from __future__ import annotations

import dis
import types
from typing import Any

from flashode.capture.watching.bytecode import instructions, nested

_ADDITIONS = ("+", "+=")
_STORES = ("STORE_ATTR", "STORE_DEREF", "STORE_GLOBAL")
_MOVES = ("SWAP", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_DEREF")


def only_counts(code: types.CodeType, name: str) -> bool:
    """Whether each use of an attribute or variable is a step ``name = name + constant``."""
    return all(_is_step(following, name) for following in _uses(code, name))


def only_counts_global(code: types.CodeType, name: str) -> bool:
    """Whether code that assigns a global does so in such steps alone."""
    stored = [
        instruction
        for part in nested(code)
        for instruction in instructions(part)
        if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL") and instruction.argval == name
    ]
    return len(stored) == len(_uses(code, name)) and only_counts(code, name)


def only_counts_item(code: types.CodeType, name: str, key: Any) -> bool:
    """Whether each use of a container called ``name`` is ``name[key] += constant``, or of another key."""
    return all(_is_item_step(following, key) for following in _uses(code, name))


def _uses(code: types.CodeType, name: str) -> list[list[dis.Instruction]]:
    """What follows each load of a thing of this name."""
    found = []
    for part in nested(code):
        listed = instructions(part)
        for position, instruction in enumerate(listed):
            loads = instruction.opname.startswith("LOAD_") and instruction.opname != "LOAD_CLOSURE"
            named = instruction.argval == name or (
                isinstance(instruction.argval, tuple) and name in instruction.argval
            )
            if loads and named:
                # As a constant it may be the name that something is asked for by.
                found.append([] if instruction.opname == "LOAD_CONST" else listed[position + 1 :])
    return found


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
    if len(following) < 2 or not _is_constant(following[0]):
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
        _is_constant(constant)
        and type(constant.argval) is int
        and operation.opname == "BINARY_OP"
        and operation.argrepr in _ADDITIONS
    )


def _is_constant(instruction: dis.Instruction) -> bool:
    return instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT")


def _is_subscript(instruction: dis.Instruction) -> bool:
    return instruction.opname == "BINARY_SUBSCR" or instruction.argrepr == "[]"


def _is(instruction: dis.Instruction, name: str, argument: int) -> bool:
    return instruction.opname == name and instruction.arg == argument
