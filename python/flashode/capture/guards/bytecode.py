"""What a function's code refers to: the globals it loads, the attributes it names."""

from __future__ import annotations

import dis
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

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
# What other instructions call, by how their names begin.
_SPECIAL = {
    "UNARY_NEGATIVE": ("neg",),
    "UNARY_POSITIVE": ("pos",),
    "CALL_INTRINSIC": ("pos",),
    "UNARY_INVERT": ("invert",),
    "COMPARE_OP": ("lt", "le", "eq", "ne", "gt", "ge"),
    "CONTAINS_OP": ("contains", "iter"),
    "BINARY_SUBSCR": ("getitem",),
    "BINARY_SLICE": ("getitem",),
    "STORE_SUBSCR": ("setitem",),
    "STORE_SLICE": ("setitem",),
    "DELETE_SUBSCR": ("delitem",),
    "GET_ITER": ("iter", "len"),
    "UNPACK": ("iter",),
    "LIST_EXTEND": ("iter", "len"),
    "CALL": ("call",),
    "BEFORE_WITH": ("enter", "exit"),
    "LOAD_SPECIAL": ("enter", "exit"),
}
# What builtins call beside the methods of their own names.
_ITERATING = frozenset(
    [
        *("iter", "next", "list", "tuple", "set", "frozenset", "dict", "zip", "map", "filter", "enumerate"),
        *("sorted", "sum", "min", "max", "any", "all"),
    ]
)
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
        strings: names among its constants, by which it may ask for attributes.
        special: names of methods that its operators, statements and calls of builtins come to.
    """

    globals: tuple[tuple[str, tuple[str, ...]], ...]
    names: frozenset[str]
    imports: frozenset[str]
    assigned_globals: frozenset[str]
    assigned: frozenset[str]
    strings: frozenset[str]
    special: frozenset[str]


@lru_cache(maxsize=1024)
def read(code: types.CodeType) -> CodeNames:
    """Reads the names in ``code``."""
    loaded: set[tuple[str, tuple[str, ...]]] = set()
    names: set[str] = set()
    imports: set[str] = set()
    assigned: set[str] = set()
    attributes: set[str] = set()
    special: set[str] = set()
    for part in nested(code):
        listed = instructions(part)
        # To switch it on for the state does not depend on whether it was.
        asked = any(i.argval == "requires_grad" and i.opname != "STORE_ATTR" for i in listed)
        names.update(set(part.co_names) - (set() if asked else {"requires_grad"}))
        for position, instruction in enumerate(listed):
            special.update(_special(instruction))
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                loaded.add((instruction.argval, _chain(listed[position + 1 :])))
            elif instruction.opname == "IMPORT_NAME":
                # How many packages above the code's own it starts.
                level = listed[position - 2].argval if position >= 2 else 0
                imports.add("." * (level if isinstance(level, int) else 0) + instruction.argval)
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
        frozenset(name for part in nested(code) for name in names_in(part.co_consts)),
        frozenset(special),
    )


def _special(instruction: dis.Instruction) -> Iterator[str]:
    """The methods that an instruction may come to without naming them."""
    operation = instruction.argrepr.rstrip("=")
    if instruction.opname == "BINARY_OP" and operation in _OPERATORS:
        yield from (f"__{kind}{_OPERATORS[operation]}__" for kind in ("", "r", "i"))
    elif instruction.opname == "BINARY_OP":
        yield "__getitem__"
    elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
        yield f"__{instruction.argval}__"
        if instruction.argval in _ITERATING:
            yield from ("__iter__", "__len__")
    for start, methods in _SPECIAL.items():
        if instruction.opname.startswith(start):
            yield from (f"__{method}__" for method in methods)


def names_in(constant: object) -> Iterator[str]:
    """The names that a constant may stand for: those of a path, and those that a format has in braces."""
    if isinstance(constant, (tuple, frozenset)):
        for item in constant:
            yield from names_in(item)
    elif isinstance(constant, str) and (_PATH.match(constant) or "{" in constant):
        yield from _NAME.findall(constant)


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


def instructions(code: types.CodeType) -> list[dis.Instruction]:
    """The instructions that do something."""
    return [
        i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "PRECALL", "NOP", "EXTENDED_ARG")
    ]


def _chain(following: list[dis.Instruction]) -> tuple[str, ...]:
    loads = takewhile(lambda instruction: instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"), following)
    return tuple(instruction.argval for instruction in loads)
