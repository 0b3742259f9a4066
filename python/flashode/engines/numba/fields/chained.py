"""What a slope makes of a gradient, and the rows of the tables of functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from flashode.engines.numba.machine_code import choose, inlined, rounded_as


@inlined
def scaled(grad, slope):
    """What a slope makes of a gradient: it is rounded as the gradient is."""
    return grad * rounded_as(slope, grad)


@inlined
def chained(passes, grad, slope):
    """The same where a gradient passes; else zero whatever the two are: zero times infinity would be NaN."""
    return choose(passes, scaled(grad, slope), rounded_as(0.0, grad))


@inlined
def none_of(grad):
    """Of functions that are constant between their steps, or declared to be: zero."""
    return rounded_as(0.0, grad)


class ElementwiseFunction(NamedTuple):
    """An element-wise function.

    Attributes:
        value: Of the arguments and the constants.
        vjp: Of the gradient in the value, the arguments, the value, and the constants.
        reads: Which of the arguments and the value, in this order, the vjp reads.
    """

    value: Any
    vjp: Any
    reads: tuple[bool, ...]

    @property
    def module(self) -> str:
        """The module that has it."""
        return str(self.value.__module__).rpartition(".")[2]


class Table:
    """Functions by their names, each made of two definitions: ``name`` or ``name_``, and ``name_vjp``.

    Args:
        arguments: How many each function has.
    """

    def __init__(self, arguments: int) -> None:
        self._arguments = arguments
        self._values: dict[str, Any] = {}
        self.functions: dict[str, ElementwiseFunction] = {}

    def value(self, function: Callable[..., Any]) -> Any:
        """The value of a function."""
        made = self._values[function.__name__.removesuffix("_")] = inlined(function)
        return made

    def vjp(self, function: Callable[..., Any]) -> Any:
        """The vjp of the function whose value stands before it."""
        name = function.__name__.removesuffix("_vjp")
        names = [*inspect.signature(function).parameters][1 : 2 + self._arguments]
        reads = tuple(not argument.startswith("_") for argument in names)
        made = inlined(function)
        self.functions[name] = ElementwiseFunction(self._values[name], made, reads)
        return made
