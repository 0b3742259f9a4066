"""The text of a function, as it is written."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

import torch

from flashode.engines.numba import machine_code
from flashode.engines.numba.fields import dense, rows
from flashode.engines.numba.fields.kernels import kernels_of

_PACKAGE = "flashode.engines.numba.fields"
# What texts import, if they name it.
_NAMES: dict[str, tuple[str, ...]] = {
    "math": ("inf", "nan"),
    _PACKAGE: ("activations", "binary", "unary"),
    machine_code.__name__: ("choose", "doubles_at", "entries", "numbers_at", "part"),
    **{module.__name__: tuple(sorted(kernels_of(module.__name__))) for module in (dense, rows)},
}
_NAME = re.compile(r"\w+")
_TABLE = textwrap.TextWrapper(100, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def literal(number: float) -> str:
    """A number in Python, to the bit; `nan` and `inf` by their names."""
    return repr(float(number))


class Source:
    """A function's statements, with the tables and the kernels that they name.

    Args:
        dtype: Of the state.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.kernels: set[str] = set()
        self._lines: list[str] = []
        self._pointers: dict[str, str] = {}
        self._tables: dict[str, str] = {}

    def line(self, text: str) -> None:
        """A statement."""
        self._lines.append(text)

    def call(self, kernel: str, *arguments: object) -> None:
        """A call of a kernel."""
        self.kernels.add(kernel)
        self.line(f"{kernel}({', '.join(map(str, arguments))})")

    def pointer(self, name: str, what: str) -> str:
        """A name for what a pointer is, at the head of the function."""
        known = self._pointers.setdefault(name, what)
        assert known == what
        return name

    def table(self, name: str, entries: Iterable[int]) -> str:
        """The expression for a table of integers."""
        return self._array(name, map(str, entries), "int32")

    def numbers(self, name: str, entries: Iterable[float]) -> str:
        """The expression for a table of numbers of the state's precision."""
        return self._array(name, map(literal, entries), str(self.dtype).removeprefix("torch."))

    def _array(self, name: str, entries: Iterable[str], kind: str) -> str:
        text = f"np.array([{', '.join(entries)}], np.{kind})"
        name = next((known for known, other in self._tables.items() if other == text), name)
        known = self._tables.setdefault(name, text)
        assert known == text
        return f"entries({name})"

    def text(self, name: str, arguments: str, comments: Iterable[str] = ()) -> str:
        """The module that has the function."""
        body = [*[f"{name} = {what}" for name, what in self._pointers.items()], *self._lines] or ["pass"]
        lines = [
            *[line for known, table in self._tables.items() for line in _TABLE.wrap(f"{known} = {table}")],
            "",
            f"def {name}({arguments}):",
            *[f"    {line}" for line in body],
        ]
        named = set(_NAME.findall("\n".join(lines)))
        head = [*[f"# {line}".rstrip() for line in comments], "import numpy as np"]
        real = str(self.dtype).removeprefix("torch.")
        for module, names in {**_NAMES, "numpy": (f"{real} as Real",)}.items():
            used = [name for name in names if name.split()[-1] in named]
            if used:
                head.append(f"from {module} import {', '.join(used)}")
        return "\n".join([*head, "", *lines, ""])
