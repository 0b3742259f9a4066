"""The text of a function, as it is written."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from flashode.engines.numba import machine_code
from flashode.engines.numba.fields import dense, rows, tables
from flashode.engines.numba.fields.kernels import kernels_of

_PACKAGE = "flashode.engines.numba.fields"
# What texts import, if they name it.
_NAMES: dict[str, tuple[str, ...]] = {
    _PACKAGE: ("activations", "binary", "exponentials", "trigonometry", "unary"),
    machine_code.__name__: ("choose", "numbers_at", "part", "pointer_to"),
    **{module.__name__: tuple(sorted(kernels_of(module.__name__))) for module in (dense, rows, tables)},
}
# What takes more lines is compiled in pieces: the time that Numba takes for one function is far from linear.
MOST_LINES = 200
_NAME = re.compile(r"\w+")
_TABLE = textwrap.TextWrapper(100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


@dataclass(frozen=True)
class Text:
    """A function as text.

    Attributes:
        name: What it is called.
        module: The module that has it.
        pieces: Modules whose functions it calls, one after the other, in the place of statements of its own:
            they take what it takes and give nothing.
    """

    name: str
    module: str
    pieces: tuple[str, ...] = ()

    def named_pieces(self) -> dict[str, str]:
        """The pieces by the names of their functions."""
        return {f"{self.name}_{number}": piece for number, piece in enumerate(self.pieces, 1)}


class Source:
    """A function's statements, with the tables and the kernels that they name.

    Args:
        dtype: Of the state.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.kernels: set[str] = set()
        self._sections: list[list[str]] = [[]]
        self._result: list[str] = []
        self._pointers: dict[str, str] = {}
        self._tables: dict[str, str] = {}

    def line(self, text: str) -> None:
        """A statement, or a line of one."""
        self._sections[-1].append(text)

    def comment(self, text: str) -> None:
        """What comes next: statements that share variables with no others."""
        if any(not line.startswith("#") for line in self._sections[-1]):
            self._sections.append([])
        self.line(f"# {text}")

    def call(self, kernel: str, *arguments: object) -> None:
        """A call of a kernel."""
        self.kernels.add(kernel)
        self.line(f"{kernel}({', '.join(map(str, arguments))})")

    def returns(self, expression: str) -> None:
        """What the function gives."""
        self._result = [f"return {expression}"]

    def pointer(self, name: str, what: str) -> str:
        """A name for what a pointer is, at the head of the function."""
        known = self._pointers.setdefault(name, what)
        assert known == what
        return name

    def table(self, name: str, entries: Iterable[int]) -> str:
        """The expression for a table of integers."""
        text = f"np.array([{', '.join(map(str, entries))}], np.int32)"
        name = next((known for known, other in self._tables.items() if other == text), name)
        known = self._tables.setdefault(name, text)
        assert known == text
        return f"pointer_to({name})"

    def text(self, name: str, arguments: str) -> Text:
        """The function; one that is long in pieces."""
        if sum(map(len, self._sections)) <= MOST_LINES:
            lines = [line for section in self._sections for line in section]
            return Text(name, self._module(name, arguments, [*lines, *self._result]))
        pieces: list[list[str]] = [[]]
        for section in self._sections:
            if pieces[-1] and len(pieces[-1]) + len(section) > MOST_LINES:
                pieces.append([])
            pieces[-1] += section
        names = [f"{name}_{number}" for number in range(1, len(pieces) + 1)]
        calls = [f"{piece}({arguments})" for piece in names]
        modules = [self._module(piece, arguments, lines) for piece, lines in zip(names, pieces, strict=True)]
        return Text(name, self._module(name, arguments, [*calls, *self._result]), tuple(modules))

    def _module(self, name: str, arguments: str, lines: Sequence[str]) -> str:
        named = _named(lines)
        pointers: list[str] = []
        # Of pointers the later ones may be parts of those before.
        for pointer, what in reversed(self._pointers.items()):
            if pointer in named:
                pointers.append(f"{pointer} = {what}")
                named |= _named([what])
        tables = {known: table for known, table in self._tables.items() if known in named}
        body = [
            *[line for known, table in tables.items() for line in _TABLE.wrap(f"{known} = {table}")],
            "",
            f"def {name}({arguments}):",
            *[f"    {line}" for line in [*reversed(pointers), *lines] or ["pass"]],
        ]
        named |= _named(body)
        head = ["import numpy as np"]
        real = str(self.dtype).removeprefix("torch.")
        for module, names in {**_NAMES, "numpy": (f"{real} as Real",)}.items():
            used = [name for name in names if name.split()[-1] in named]
            if used:
                head.append(f"from {module} import {', '.join(used)}")
        return "\n".join([*head, "", *body, ""])


def _named(lines: Iterable[str]) -> set[str]:
    """The names in statements."""
    return {name for line in lines if not line.startswith("#") for name in _NAME.findall(line)}
