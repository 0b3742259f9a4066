"""What a function's code refers to: the globals it loads, the attributes it names, the counters it keeps."""

from __future__ import annotations

import dis
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

# Stands among the names for a caught exception: a missing attribute can be asked for so.
CATCHES = "except"


@dataclass(frozen=True)
class CodeNames:
    """Names in a code object and in the code nested in it.

    Attributes:
        globals: names loaded from the module's globals, each with the chains of attributes taken from it; an
            empty chain means that the thing itself is used.
        names: every name that occurs, attributes included.
        imports: modules that it imports when it runs.
        assigned_globals: globals that it assigns or deletes.
    """

    globals: tuple[tuple[str, tuple[str, ...]], ...]
    names: frozenset[str]
    imports: frozenset[str]
    assigned_globals: frozenset[str]


@lru_cache(maxsize=1024)
def read(code: types.CodeType) -> CodeNames:
    """Reads the names in ``code``."""
    loaded: set[tuple[str, tuple[str, ...]]] = set()
    names: set[str] = set()
    imports: set[str] = set()
    assigned: set[str] = set()
    for part in nested(code):
        names.update(part.co_names)
        instructions = _instructions(part)
        for position, instruction in enumerate(instructions):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                loaded.add((instruction.argval, _chain(instructions[position + 1 :])))
            elif instruction.opname == "IMPORT_NAME":
                imports.add(instruction.argval)
            elif instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                assigned.add(instruction.argval)
            elif instruction.opname.startswith("FORMAT_") or instruction.argrepr in ("%", "%="):
                names.add("format")
            elif instruction.opname == "CHECK_EXC_MATCH":
                names.add(CATCHES)
            elif instruction.opname == "MATCH_CLASS":
                # The attributes that a pattern reads are no names of the code.
                names.add("getattr")
    return CodeNames(tuple(sorted(loaded)), frozenset(names), frozenset(imports), frozenset(assigned))


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` and all code objects among its constants."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def only_counts(code: types.CodeType, attribute: str) -> bool:
    """Whether each use of ``x.attribute`` is a step ``x.attribute = x.attribute + constant``.

    Anything else could let the count reach the result.
    """
    for part in nested(code):
        instructions = _instructions(part)
        for position, instruction in enumerate(instructions):
            if instruction.argval != attribute or not instruction.opname.startswith("LOAD_"):
                continue
            if instruction.opname == "LOAD_CONST" or not _is_step(instructions[position + 1 :], attribute):
                return False
    return True


def _is_step(following: list[dis.Instruction], attribute: str) -> bool:
    if len(following) < 3 or following[0].opname not in ("LOAD_CONST", "LOAD_SMALL_INT"):
        return False
    if following[1].opname != "BINARY_OP" or following[1].argrepr not in ("+", "+="):
        return False
    for instruction in following[2:]:
        if instruction.opname == "STORE_ATTR":
            return bool(instruction.argval == attribute)
        if instruction.opname not in ("SWAP", "LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_DEREF"):
            return False
    return False


def _instructions(code: types.CodeType) -> list[dis.Instruction]:
    return [
        i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PRECALL", "NOP", "EXTENDED_ARG")
    ]


def _chain(following: list[dis.Instruction]) -> tuple[str, ...]:
    chain: list[str] = []
    for instruction in following:
        if instruction.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
            break
        chain.append(instruction.argval)
    return tuple(chain)
