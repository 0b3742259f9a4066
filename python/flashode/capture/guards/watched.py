"""What a walk from a function has found."""

from __future__ import annotations

import re
import types
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from flashode.capture.guards.bytecode import CodeNames, Reader
from flashode.capture.guards.guard_code import GuardCode, Owner
from flashode.capture.guards.relevance import REFLECTION
from flashode.declined import Place

# Where a label says how the walk got to the first name of what it met.
_PREFIX = re.compile(
    r"^(?:the function(?:\.__self__)?(?:\.|$)|the global '(\w+)'"
    r"|'(\w+)', (?:closed over by|a default of|an argument of) .*,)"
)


def path(label: str) -> str:
    """What a user calls what the walk calls so: ``net.0.weight``; the function itself has no name."""
    return _PREFIX.sub(lambda found: found[1] or found[2] or "", label)


def names_of(label: str) -> list[str]:
    """The names by which code comes to what the walk calls so, the last one first."""
    return [part.partition("[")[0] for part in reversed(path(label).split("."))]


def described(module: nn.Module, label: str) -> str:
    """A module as its user knows it, ``net.1 Dropout``; empty for the function itself."""
    name = path(label)
    return f"{name} {type(module).__name__}" if name else ""


@dataclass(frozen=True)
class Container:
    """Something mutable that a walk met: a dictionary, list, set, array, cell, class or object with slots.

    Attributes:
        label: a readable name.
        owner: where the walk found it, as the checks name it.
        variable: leads to it in the checks.
        of_object: whether it is an object's own dictionary, so that its places are attributes.
        name: what code calls the content of a cell.
        places: the only places in it that are looked at; None for all.
    """

    label: str
    held: Any
    owner: Owner | None
    variable: str
    of_object: bool = False
    name: str = ""
    places: frozenset[str] | None = None


@dataclass
class Watched:
    """What a walk found.

    Attributes:
        code: the checks, to be compiled once the counters are known.
        reader: what of the code was read.
        tensors: the tensors that the function owns, in the order in which the checks return them.
        labels: what the walk calls each of them.
        slots: ``id(tensor) -> position in tensors``.
        constants: ids of the tensors that are held to their content.
        containers: everything mutable on the way.
        codes: all code that may run, or has.
        numbers: Python numbers that may be assigned anew, by where they are kept and their readable name.
        counts: where the number of an object's attributes is checked, though only named ones are read, or
            that of all registered classes: a cheap way to see that none has been added that matters; and
            torch's own settings.
        idle: where there are counters that no result depends on; they are none of the numbers.
        foreign: the variables of the dictionaries of objects that trusted code may read.
        reached: the names of trusted functions and classes that the code has at hand, whatever it calls them.
        strings: names among the strings that the code has at hand, by which it may ask for attributes.
        implied: names in trusted code that may run, and of methods that it comes to otherwise.
        shared: ids of what was met more than once.
        spaces: the variables of the globals met.
        compiles: whether something in it is under ``torch.compile``.
        unwatchable: where all of what there is was looked at, names of what cannot be watched.
        unwatched: data that was passed by; see ``watch``.
    """

    code: GuardCode
    reader: Reader
    tensors: list[Tensor] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    slots: dict[int, int] = field(default_factory=dict)
    constants: set[int] = field(default_factory=set)
    containers: list[Container] = field(default_factory=list)
    codes: dict[types.CodeType, CodeNames] = field(default_factory=dict)
    numbers: dict[tuple[Owner, str], float] = field(default_factory=dict)
    counts: set[Owner] = field(default_factory=set)
    idle: frozenset[Owner] = frozenset()
    foreign: set[str] = field(default_factory=set)
    reached: set[str] = field(default_factory=set)
    strings: set[str] = field(default_factory=set)
    implied: set[str] = field(default_factory=set)
    shared: set[int] = field(default_factory=set)
    spaces: set[str] = field(default_factory=set)
    compiles: bool = False
    unwatchable: set[str] = field(default_factory=set)
    unwatched: list[Any] = field(default_factory=list)

    @property
    def tensor_names(self) -> tuple[str, ...]:
        """What a user calls each of the tensors: ``net.0.weight``."""
        return tuple(map(path, self.labels))

    def module(self, module: nn.Module) -> str:
        """A module as its user knows it; see ``described``."""
        for container in self.containers:
            if container.held is module.__dict__:
                return described(module, container.label)
        return type(module).__name__

    def line(self, label: str) -> Place | None:
        """The first line of the user's code that names what the walk calls so, or what holds it."""
        lines = (self.reader.line_of(code, name) for name in names_of(label) for code in self.codes)
        return next((line for line in lines if line is not None), None)

    def loads(self, name: str) -> bool:
        """Whether the code takes an attribute of this name, or has the name at hand as a word."""
        parts = (part for code in self.codes for part in self.reader.parts(code))
        return any(
            instruction.argval == name and instruction.opname.startswith("LOAD_")
            for part in parts
            for instruction in self.reader.instructions(part)
        )

    def name_of(self, container: Container) -> str | None:
        """What code calls a container, where it is kept in a single place and found there by name alone."""
        if container.owner is None or id(container.held) in self.shared:
            return None
        variable, key = container.owner
        if variable in self.spaces:
            return str(key)
        for other in self.containers:
            if other.variable == variable and (other.of_object or other.name):
                return other.name or str(key)
        return None

    @property
    def all_implied(self) -> frozenset[str]:
        """Names of attributes of trusted classes that code may come to without naming them."""
        return frozenset(self.implied).union(*(code.special for code in self.codes.values()))

    @property
    def names(self) -> frozenset[str]:
        """Every name in the code that may run."""
        return self._named | self.names_in_strings

    @property
    def names_in_strings(self) -> frozenset[str]:
        """Every name by which the code may ask for an attribute, or the like, without naming it."""
        if self._named.isdisjoint(REFLECTION):
            return frozenset()
        return frozenset(self.strings).union(*(code.strings for code in self.codes.values()))

    @property
    def _named(self) -> frozenset[str]:
        return frozenset(self.reached).union(*(code.names for code in self.codes.values()))
