"""What a function's code refers to: the globals it loads, the attributes it names."""

from __future__ import annotations

import dis
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from flashode.declined import Place

# Stands among the names for code that runs after an exception: a missing attribute can be asked for so.
CATCHES = "except"
# The first stands among the names for a comparison that may tell which object it is.
IDENTITY = frozenset(["is", "id"])
_NAME = re.compile(r"[^\W\d]\w*")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*$")
# What an operator calls.
_OPERATORS = {
    "+": "add",
    "-": "sub",
    "*": "mul",
    "/": "truediv",
    "//": "floordiv",
    "%": "mod",
    "**": "pow",
    "@": "matmul",
    "&": "and",
    "|": "or",
    "^": "xor",
    "<<": "lshift",
    ">>": "rshift",
}
_COMPARISONS = ("IS_OP", "CONTAINS_OP", "COMPARE_OP")
_BY_IDENTITY = ("", "==", "!=", "bool(==)", "bool(!=)")


@dataclass(frozen=True)
class CodeNames:
    """Names in a code object and in the code nested in it.

    Attributes:
        globals: names loaded from the module's globals, each with the chains of attributes taken from it; an
            empty chain means that the thing itself is used.
        names: every name that occurs, attributes included; ``requires_grad`` only if it is asked for.
        imports: modules that it imports when it runs.
        assigned_globals: globals that it assigns or deletes.
        assigned: attributes that it assigns or deletes.
        handed: globals that it uses otherwise than by calling them at once.
        strings: names among its constants, by which it may ask for attributes.
    """

    globals: tuple[tuple[str, tuple[str, ...]], ...]
    names: frozenset[str]
    imports: frozenset[str]
    assigned_globals: frozenset[str]
    assigned: frozenset[str]
    handed: frozenset[str]
    strings: frozenset[str]


@lru_cache(maxsize=1024)
def read(code: types.CodeType) -> CodeNames:
    """Reads the names in ``code``."""
    loaded: set[tuple[str, tuple[str, ...]]] = set()
    names: set[str] = set()
    imports: set[str] = set()
    assigned: set[str] = set()
    attributes: set[str] = set()
    handed: set[str] = set()
    for part in nested(code):
        listed = instructions(part)
        names.update(_read_names(part, listed))
        for position, instruction in enumerate(listed):
            if instruction.opname == "BINARY_OP" and instruction.argrepr.rstrip("=") in _OPERATORS:
                operator = _OPERATORS[instruction.argrepr.rstrip("=")]
                names.update(f"__{kind}{operator}__" for kind in ("", "r", "i"))
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                loaded.add((instruction.argval, _chain(listed[position + 1 :])))
                if "NULL" not in instruction.argrepr:
                    handed.add(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                imports.add("." * _level(listed, position) + instruction.argval)
            elif instruction.opname in ("STORE_ATTR", "DELETE_ATTR"):
                attributes.add(instruction.argval)
            elif instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                assigned.add(instruction.argval)
            elif instruction.opname.startswith("FORMAT_") or instruction.argrepr in ("%", "%="):
                names.add("str")
            elif instruction.opname == "PUSH_EXC_INFO":
                names.add(CATCHES)
            elif instruction.opname in _COMPARISONS and instruction.argrepr in _BY_IDENTITY:
                # A constant is none of the objects that could be confused.
                if listed[position - 1].opname not in ("LOAD_CONST", "LOAD_SMALL_INT"):
                    names.add("is")
            elif instruction.opname == "MATCH_CLASS":
                # The attributes that a pattern reads are no names of the code.
                names.add("getattr")
    return CodeNames(
        tuple(sorted(loaded)),
        frozenset(names),
        frozenset(imports),
        frozenset(assigned),
        frozenset(attributes),
        frozenset(handed),
        frozenset(name for part in nested(code) for name in names_in(part.co_consts)),
    )


def names_in(constant: object) -> Iterator[str]:
    """The names that a constant may stand for: those of a path, and those that a format has in braces."""
    if isinstance(constant, (tuple, frozenset)):
        for item in constant:
            yield from names_in(item)
    elif isinstance(constant, str) and (_PATH.match(constant) or "{" in constant):
        yield from _NAME.findall(constant)


def _level(listed: list[dis.Instruction], position: int) -> int:
    """How many packages above the code's own an import starts."""
    level = listed[position - 2].argval if position >= 2 else 0
    return level if isinstance(level, int) else 0


def line_of(code: types.CodeType, name: str) -> Place | None:
    """The first line of code where a thing of this name is used, best where it is assigned."""
    uses = [
        (not instruction.opname.startswith(("STORE_", "DELETE_")), part.co_filename, instruction.positions)
        for part in nested(code)
        for instruction in instructions(part)
        if instruction.argval == name
        and instruction.opname not in ("LOAD_CONST", "MAKE_CELL", "COPY_FREE_VARS")
    ]
    for _, file, positions in sorted(uses, key=lambda use: use[0]):
        if positions is not None and positions.lineno is not None:
            return file, positions.lineno
    return None


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` and all code objects among its constants."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def _read_names(code: types.CodeType, listed: list[dis.Instruction]) -> set[str]:
    # To switch it on for the state does not depend on whether it was.
    asked = any(i.argval == "requires_grad" and i.opname != "STORE_ATTR" for i in listed)
    return set(code.co_names) - (set() if asked else {"requires_grad"})


def instructions(code: types.CodeType) -> list[dis.Instruction]:
    """The instructions that do something."""
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
