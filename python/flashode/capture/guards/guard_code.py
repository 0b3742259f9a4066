"""Straight-line checks, compiled to one Python function.

A list of check objects would pay a call for each fact. Generated code pays a few bytecodes.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flashode.capture.guards.kinds import Kinds

# A dictionary, list or cell that holds a counter, the counter's place in it, and its amount for each call; or
# a tensor that is one, with its name.
Counter = tuple[Any, Any, float]
# What the compiled function returns: the function's tensors and its counters, or what else was asked for.
Bound = tuple[tuple[Tensor, ...], tuple[Any, ...]]
# Takes a function.
Check = Callable[[Any], "Bound | None"]

# Where checks belong: the variable of a dictionary, list or object, or an expression, and a place in it.
Owner = tuple[str, Any]

_HEAD = "def check(root):\n    try:\n"
_BITS = struct.Struct("d")
# An object may raise anything when it is looked at.
_TAIL = "\n    except Exception:\n        return None\n"


class GuardCode:
    """Collects checks on values that are reached from ``root`` by expressions.

    Attributes:
        distinct: whether the objects met must be as many as they were: code may tell them apart.
    """

    distinct = False

    def __init__(self) -> None:
        self._owners: tuple[Owner, ...] = ()
        self._lines: list[tuple[tuple[Owner, ...], str]] = []
        self._constants: dict[str, Any] = {"_differs": differs}
        self._variables = 0
        self._objects: list[tuple[tuple[Owner, ...], str]] = []
        self._tensors: list[tuple[tuple[Owner, ...], str, str]] = []

    @property
    def owner(self) -> Owner | None:
        """The innermost place that holds the value being checked."""
        return self._owners[-1] if self._owners else None

    @property
    def skeleton(self) -> int:
        """The same for walks that differ only in the values they met."""
        return hash((tuple(self._lines), tuple(self._tensors), self.distinct))

    def variable(self, expression: str) -> str:
        """Names the value of an expression."""
        name = f"v{self._variables}"
        self._variables += 1
        self._add(f"{name} = {expression}")
        return name

    def object(self, expression: str) -> str:
        """Names an object; others than those that are the same must be other objects if ``distinct``."""
        name = self.variable(expression)
        self._objects.append((self._owners, name))
        return name

    def simple(self, expression: str, value: Any) -> None:
        """The value is immutable, and equal in type and content."""
        if value is None or value is True or value is False:
            self._fail(f"{expression} is not {value}")
            return
        constant = self.constant(value)
        also = "" if isinstance(value, torch.dtype) else f" and _differs({expression}, {constant})"
        self._fail(f"{expression} is not {constant}{also}")

    def identical(self, expression: str, value: Any, weak: bool = False) -> None:
        """The value is one certain object; ``weak``: the one that a weak reference leads to."""
        self._fail(f"{expression} is not {self.constant(value)}{'()' if weak else ''}")

    def same(self, expression: str, variable: str) -> None:
        """The value is the same object as an earlier one: sharing is part of behaviour."""
        self._fail(f"{expression} is not {variable}")

    def length(self, variable: str, length: int) -> None:
        """A container has so many entries."""
        self._fail(f"len({variable}) != {length}" if length else variable)

    def keys(self, variable: str, keys: Iterable[Any]) -> None:
        """A dictionary has these keys, in this order."""
        names = tuple(keys)
        if not all(type(key) is str for key in names):
            self._fail(f"_differs(tuple({variable}), {self.constant(names)})")
        elif len(names) == 1:
            self._fail(f"len({variable}) != 1 or {names[0]!r} not in {variable}")
        else:
            self._fail(f"[*{variable}] != {self.constant(list(names))}")

    def lengths(self, spaces: Sequence[Mapping[str, Any]]) -> None:
        """These dictionaries have so many entries as they have."""
        held, lengths = self.constant(tuple(spaces)), self.constant(list(map(len, spaces)))
        self._fail(f"[*map(len, {held})] != {lengths}")

    def attributes(self, value: Any, names: Collection[str]) -> None:
        """The attributes of these names of an object, which is held, are the objects that they were."""
        # One call for all of them, which looks through bases as well.
        if names:
            of = attrgetter(*names)
            self._fail(f"{self.constant(of)}({self.constant(value)}) != {self.constant(of(value))}")

    def lacks(self, value: Any, names: Sequence[str]) -> None:
        """An object, which is held, has nothing under any of these names."""
        of = self.constant(partial(hasattr, value))
        self._fail(f"any(map({of}, {self.constant(tuple(names))}))")

    def absent(self, variable: str, key: str) -> None:
        """A dictionary lacks a key."""
        self._fail(f"{key!r} in {variable}")

    def empty(self, variable: str, keys: Iterable[str]) -> None:
        """The containers under these keys are empty."""
        self._fail(" or ".join(f"{variable}[{key!r}]" for key in keys))

    def holds(self, condition: str) -> None:
        """An expression over variables and constants is true."""
        self._fail(f"not ({condition})")

    def tensor(self, variable: str, tensor: Tensor) -> None:
        """A tensor of this kind, whose identity and content are free; it is returned by the checks."""
        kind, dtype, shape = map(self.constant, (type(tensor), tensor.dtype, tensor.shape))
        stride, device = map(self.constant, (tensor.stride(), tensor.device))
        unlike = (
            f"type({variable}) is not {kind} or {variable}.dtype is not {dtype} "
            f"or {variable}.requires_grad is not {tensor.requires_grad} or {variable}.shape != {shape} "
            f"or {variable}.stride() != {stride} or {variable}.device != {device}"
        )
        self._tensors.append((self._owners, variable, unlike))

    @contextlib.contextmanager
    def owned_by(self, owner: Owner) -> Iterator[None]:
        """Checks added meanwhile belong to ``owner``."""
        outer, self._owners = self._owners, (*self._owners, owner)
        yield
        self._owners = outer

    def compile(
        self,
        dropped: Collection[Owner],
        counters: Mapping[Owner, int] | None = None,
        held: Mapping[int, Tensor] | None = None,
        kinds: bool = True,
        returned: Sequence[str] = (),
    ) -> Check:
        """Compiles the checks.

        Args:
            dropped: owners whose checks are left out, so that they may change freely.
            counters: owners that are left out as well and returned, with their amounts.
            held: what some of the tensors have to contain, by their place among them.
            kinds: whether tensors have to be of the kinds that they were; if not, they are only returned.
            returned: expressions that are returned in the place of counters.
        """
        counters = counters or {}
        free = {*dropped, *counters}
        lines = [line for owners, line in self._lines if free.isdisjoint(owners)]
        tensors = [(name, unlike) for owners, name, unlike in self._tensors if free.isdisjoint(owners)]
        names = "".join(f"{name}, " for name, _ in tensors)
        objects = [name for owners, name in self._objects if free.isdisjoint(owners)]
        if self.distinct and len(objects) > 1:
            lines.append(f"if len({{*map(id, ({', '.join(objects)}))}}) != {len(objects)}: return None")
        namespace: dict[str, Any] = {**self._constants, "_kinds": Kinds(), "_equal": torch.equal}
        if tensors and kinds:

            def any_of(attribute: str) -> str:
                return " or ".join(f"{name}.{attribute}" for name, _ in tensors)

            # Asked for its strides, a nested tensor ends the process.
            lines.append(f"if {any_of('is_nested')} or {any_of('_backward_hooks')}: return None")
            lines.append(f"if not _kinds.same({names}):")
            lines.extend(f"    if {unlike}: return None" for _, unlike in tensors)
            lines.append(f"    _kinds.learn({names})")
        for slot, content in (held or {}).items():
            namespace[f"_held{slot}"] = content
            lines.append(f"if not _equal({tensors[slot][0]}, _held{slot}): return None")
        returned = [*returned, *(f"({owner}, {place!r}, {n})" for (owner, place), n in counters.items())]
        lines.append(f"return ({names}), ({''.join(f'{each}, ' for each in returned)})")
        body = "\n".join(f"        {line}" for line in lines)
        source = f"{_HEAD}{body}{_TAIL}"
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
        self._lines.append((self._owners, line))


def differs(value: Any, expected: Any) -> bool:
    """Whether immutable values differ in type or content."""
    kind = type(expected)
    if type(value) is not kind:
        return True
    if kind is tuple:
        return len(value) != len(expected) or any(map(differs, value, expected))
    if kind in (range, slice):
        # Ranges are equal where they hold the same, slices where their parts are equal.
        return differs((value.start, value.stop, value.step), (expected.start, expected.stop, expected.step))
    if kind is float:
        # 0.0 equals -0.0, and NaN does not equal itself.
        return _BITS.pack(value) != _BITS.pack(expected)
    if kind is complex:
        return differs((value.real, value.imag), (expected.real, expected.imag))
    if isinstance(expected, np.generic):
        return differs(value.dtype, expected.dtype) or value.tobytes() != expected.tobytes()
    if isinstance(expected, np.dtype):
        return bool(value != expected or value.metadata != expected.metadata)
    return bool(value != expected)
