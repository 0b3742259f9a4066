"""Functions of numbers that are compiled once an installation, and called by the code of every Program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from numba import types

from flashode.engines.numba.code_cache import Compiled
from flashode.engines.numba.symbols import Symbol

# What kernels take: pointers to numbers of the state's precision or of double, to entries of tables; sizes.
NUMBERS, DOUBLES, TABLE, SIZE = "numbers", "doubles", "table", "size"

_KERNELS: dict[str, Symbol] = {}


def kernel(*arguments: str) -> Callable[[Callable[..., None]], Any]:
    """Makes a kernel of a function, and gives what jitted code calls.

    Args:
        arguments: The kinds of what it takes, NUMBERS first. No two pointers may be to the same numbers where
            one is written to.
    """

    def decorated(function: Callable[..., None]) -> Any:
        name, signature = function.__name__, partial(_signature, arguments)
        symbol = Symbol(function, name, len(arguments), signature, _real_of, disjoint=True)
        _KERNELS[name] = symbol
        return symbol.caller()

    return decorated


def _signature(arguments: tuple[str, ...], real: Any) -> Any:
    kinds = {
        NUMBERS: types.CPointer(real),
        DOUBLES: types.CPointer(types.float64),
        TABLE: types.CPointer(types.int32),
        SIZE: types.intp,
    }
    return types.void(*[kinds[argument] for argument in arguments])


def _real_of(numbers: Any) -> Any:
    return numbers.dtype


def kernels_of(module: str) -> list[str]:
    """The names of those that a module has."""
    return [name for name, symbol in _KERNELS.items() if symbol.function.__module__ == module]


def define(name: str, real: Any) -> Compiled:
    """Makes a kernel known to the linker, for numbers of a precision."""
    return _KERNELS[name].compile(real)
