"""What a walk from a function has found."""

from __future__ import annotations

import types
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from flashode.capture.bytecode import CodeNames
from flashode.capture.guard_code import GuardCode, Owner


@dataclass(frozen=True)
class Container:
    """Something mutable that a walk met.

    Attributes:
        label: a readable name.
        held: the dictionary, list, set, cell or class.
        owner: where the walk found it, as the checks name it.
        attributes_of: for an object's own dictionary, its variable in the checks.
    """

    label: str
    held: Any
    owner: Owner | None
    attributes_of: str | None = None


@dataclass
class Watched:
    """What a walk found.

    Attributes:
        code: the checks, to be compiled once the counters are known.
        tensors: the tensors that the function owns, in the order in which the checks return them.
        slots: ``id(tensor) -> position in tensors``.
        containers: everything mutable on the way.
        codes: all code that may run.
        numbers: Python numbers that may be assigned anew, by where they are kept and their readable name.
        reached: the names of trusted functions and classes that the code has at hand, whatever it calls them.
    """

    code: GuardCode
    tensors: list[Tensor] = field(default_factory=list)
    slots: dict[int, int] = field(default_factory=dict)
    containers: list[Container] = field(default_factory=list)
    codes: dict[types.CodeType, CodeNames] = field(default_factory=dict)
    numbers: dict[tuple[Owner, str], float] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)

    @property
    def names(self) -> frozenset[str]:
        """Every name in the code that may run."""
        return frozenset(self.reached).union(*(code.names for code in self.codes.values()))
