"""Straight-line checks, compiled to one Python function.

A list of check objects would pay a call for each fact. Generated code pays a few bytecodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

# What the compiled function returns: the function's tensors and the dictionaries that hold its counters.
Bound = tuple[tuple[Tensor, ...], tuple[dict[str, Any], ...]]
Check = Callable[[Any], "Bound | None"]


# An attribute that checks belong to: the variable of a dictionary, or an expression, and a name.
Owner = tuple[str, str]


class GuardCode:
    """Collects checks on values that are reached from ``root`` by expressions.

    Attributes:
        owner: where the value being checked is kept.
    """

    def __init__(self) -> None:
        self.owner: Owner | None = None
        self._lines: list[tuple[Owner | None, str]] = []
        self._constants: dict[str, Any] = {"_Tensor": Tensor}
        self._variables = 0
        self._tensors: list[str] = []

    @property
    def skeleton(self) -> int:
        """The same for walks that differ only in the values they met."""
        return hash(tuple(self._lines))

    def variable(self, expression: str) -> str:
        """Names the value of an expression."""
        name = f"v{self._variables}"
        self._variables += 1
        self._add(f"{name} = {expression}")
        return name

    def simple(self, expression: str, value: Any) -> None:
        """The value is immutable, and equal in type and content."""
        constant = self.constant(value)
        if value is None or isinstance(value, (bool, torch.dtype)):
            self._fail(f"{expression} is not {constant}")
            return
        differs = f"type(x) is not {self.constant(type(value))} or x != {constant}"
        if isinstance(value, (float, complex)) and value == 0:
            differs += f" or repr(x) != {self.constant(repr(value))}"
        self._add(f"x = {expression}")
        self._fail(f"x is not {constant} and ({differs})")

    def identical(self, expression: str, value: Any, weak: bool = False) -> None:
        """The value is one certain object; ``weak``: the one that a weak reference leads to."""
        self._fail(f"{expression} is not {self.constant(value)}{'()' if weak else ''}")

    def same(self, expression: str, variable: str) -> None:
        """The value is the same object as an earlier one: sharing is part of behaviour."""
        self._fail(f"{expression} is not {variable}")

    def length(self, variable: str, length: int) -> None:
        """A container has so many entries."""
        self._fail(f"len({variable}) != {length}")

    def absent(self, variable: str, key: str) -> None:
        """A dictionary lacks a key."""
        self._fail(f"{key!r} in {variable}")

    def empty(self, variable: str, keys: Iterable[str]) -> None:
        """The containers under these keys are empty."""
        self._fail(" or ".join(f"{variable}[{key!r}]" for key in keys))

    def tensor(self, variable: str, tensor: Tensor) -> None:
        """A tensor of this kind, whose identity and content are free; it is returned by the checks."""
        self._tensors.append(variable)
        kind, dtype, shape = map(self.constant, (type(tensor), tensor.dtype, tensor.shape))
        stride, device = map(self.constant, (tensor.stride(), tensor.device))
        self._fail(
            f"type({variable}) is not {kind} or {variable}.dtype is not {dtype} "
            f"or {variable}.requires_grad is not {tensor.requires_grad} or {variable}.shape != {shape} "
            f"or {variable}.stride() != {stride} or {variable}.device != {device} "
            f"or {variable}._backward_hooks"
        )

    @contextlib.contextmanager
    def owned_by(self, owner: Owner) -> Iterator[None]:
        """Checks added meanwhile belong to ``owner``."""
        outer, self.owner = self.owner, owner
        yield
        self.owner = outer

    def compile(self, dropped: Collection[Owner], owners: Iterable[str] = ()) -> Check:
        """Compiles the checks.

        Args:
            dropped: owners whose checks are left out, so that they may change freely.
            owners: variables to return.

        Returns:
            a function that takes a field and returns its tensors and the owners, or None where a check fails.
        """
        lines = [line for owner, line in self._lines if owner not in dropped]
        tensors = "".join(f"{variable}, " for variable in self._tensors)
        returned = "".join(f"{variable}, " for variable in owners)
        body = "\n".join(f"        {line}" for line in [*lines, f"return ({tensors}), ({returned})"])
        errors = "AttributeError, LookupError, TypeError, ValueError, NameError, RuntimeError"
        source = f"def check(root):\n    try:\n{body}\n    except ({errors}):\n        return None\n"
        namespace: dict[str, Any] = dict(self._constants)
        exec(compile(source, "<flashode guard>", "exec"), namespace)
        check: Check = namespace["check"]
        return check

    def constant(self, value: Any) -> str:
        """Names an object for use in an expression; it is held."""
        name = f"k{len(self._constants)}"
        self._constants[name] = value
        return name

    def _fail(self, condition: str) -> None:
        self._add(f"if {condition}: return None")

    def _add(self, line: str) -> None:
        self._lines.append((self.owner, line))
