"""What a function's code refers to: the globals it loads, the attributes it names."""

from __future__ import annotations

import dis
import re
import types
from collections.abc import Iterator, Mapping, Set
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
_NOTHING = ("CACHE", "PRECALL", "NOP")
_COMPARISONS = ("IS_OP", "CONTAINS_OP", "COMPARE_OP")
_BY_IDENTITY = ("", "==", "!=", "bool(==)", "bool(!=)")


@dataclass(frozen=True)
class CodeNames:
    """Names in a code object and in the code nested in it.

    Attributes:
        globals: names loaded from the module's globals, each with the chains of attributes taken from it; an
            empty chain means that the thing itself is used.
        names: every name that occurs, attributes included.
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


# Of each code object that has run, where its instructions are that have.
Executed = Mapping[types.CodeType, frozenset[int]]


class Reader:
    """Reads code: all of it, or what has run of it."""

    def __init__(self, executed: Executed | None = None) -> None:
        self._executed = executed
        self._names: dict[types.CodeType, CodeNames] = {}

    def runs(self, code: types.CodeType) -> bool:
        """Whether anything of a code object is read."""
        return self._executed is None or code in self._executed

    def parts(self, code: types.CodeType) -> Iterator[types.CodeType]:
        """What is read of a code object and of all code objects among its constants."""
        return filter(self.runs, nested(code))

    def instructions(self, code: types.CodeType) -> list[dis.Instruction]:
        """Its instructions that do something, without those of nested code."""
        return instructions(code, None if self._executed is None else self._executed[code])

    def names(self, code: types.CodeType) -> CodeNames:
        """The names in a code object and in what is nested in it."""
        if code not in self._names:
            self._names[code] = _names_of([self.instructions(part) for part in self.parts(code)])
        return self._names[code]

    def line_of(self, code: types.CodeType, name: str) -> Place | None:
        """The first line of code where a thing of this name is used, best where it is assigned."""
        uses = [
            (
                not instruction.opname.startswith(("STORE_", "DELETE_")),
                part.co_filename,
                instruction.positions,
            )
            for part in self.parts(code)
            for instruction in self.instructions(part)
            if instruction.argval == name
            and instruction.opname not in ("LOAD_CONST", "MAKE_CELL", "COPY_FREE_VARS")
        ]
        for _, file, positions in sorted(uses, key=lambda use: use[0]):
            if positions is not None and positions.lineno is not None:
                return file, positions.lineno
        return None


@lru_cache(maxsize=1024)
def read(code: types.CodeType) -> CodeNames:
    """Reads the names in all of ``code``."""
    return Reader().names(code)


def _names_of(parts: list[list[dis.Instruction]]) -> CodeNames:
    loaded: set[tuple[str, tuple[str, ...]]] = set()
    names: set[str] = set()
    imports: set[str] = set()
    assigned: set[str] = set()
    attributes: set[str] = set()
    strings: set[str] = set()
    special: set[str] = set()
    for listed in parts:
        names.update(instruction.argval for instruction in listed if instruction.opcode in dis.hasname)
        for position, instruction in enumerate(listed):
            special.update(_special(instruction))
            if instruction.opcode in dis.hasconst:
                strings.update(names_in(instruction.argval))
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
        frozenset(strings),
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


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """``code`` and all code objects among its constants."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def instructions(code: types.CodeType, executed: Set[int] | None = None) -> list[dis.Instruction]:
    """The instructions that do something: all, or those at some offsets."""
    return [i for begin, i in decoded(code) if executed is None or begin in executed]


@lru_cache(maxsize=1024)
def decoded(code: types.CodeType) -> list[tuple[int, dis.Instruction]]:
    """The instructions that do something, each with where it begins."""
    decoded = []
    begin: int | None = None
    for instruction in dis.get_instructions(code):
        # Of an instruction with a long argument the first part tells that it has run.
        begin = instruction.offset if begin is None else begin
        if instruction.opname == "EXTENDED_ARG":
            continue
        if instruction.opname not in _NOTHING:
            decoded.append((begin, instruction))
        begin = None
    return decoded


def _chain(following: list[dis.Instruction]) -> tuple[str, ...]:
    loads = takewhile(lambda instruction: instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"), following)
    return tuple(instruction.argval for instruction in loads)


def is_constant(instruction: dis.Instruction) -> bool:
    """Whether an instruction loads a constant."""
    return instruction.opname in ("LOAD_CONST", "LOAD_SMALL_INT")
