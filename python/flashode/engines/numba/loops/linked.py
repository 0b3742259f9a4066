"""Functions of records that are compiled by themselves and call each other by symbol."""

from __future__ import annotations

import dis
from collections.abc import Callable, Hashable, Iterator
from functools import cache, partial
from types import ModuleType
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core.dispatcher import Dispatcher

from flashode.engines.numba.code_cache import Compiled
from flashode.engines.numba.loops.records import system_record
from flashode.engines.numba.symbols import Symbol

# What such functions take beside records of one type: the system, first; and numbers. Addresses and truth
# values are integers.
SYSTEM = "system"
INT, FLOAT = np.dtype(np.int64), np.dtype(np.float64)
Kind = np.dtype[Any] | str


@cache
def _type(kind: Kind, real: str) -> Any:
    return numba.from_dtype(system_record(real) if isinstance(kind, str) else kind)


# By the intrinsic that calls each.
_LINKED: dict[Any, Symbol] = {}


def linked(*kinds: Kind, result: Kind | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function by itself, and gives what others call; its products may be fused with sums.

    Args:
        kinds: Of what it takes.
        result: Of what it gives.
    """

    def decorated(function: Callable[..., Any]) -> Any:
        name = f"{function.__module__.rpartition('.')[2]}_{function.__name__}"
        symbol = Symbol(function, name, len(kinds), partial(_signature, kinds, result), _real_of)
        caller = symbol.caller()
        _LINKED[caller] = symbol
        return caller

    return decorated


def _signature(kinds: tuple[Kind, ...], result: Kind | None, real: Any) -> Any:
    gives = types.void if result is None else _type(result, str(real))
    return gives(*[_type(kind, str(real)) for kind in kinds])


def _real_of(system: Any) -> Any:
    return system.typeof("one")


def _named_by(function: Callable[..., Any]) -> Iterator[Any]:
    """What the names in a function's code stand for: of its module, or of a module that it knows."""
    module = None
    for instruction in dis.get_instructions(function):
        name = instruction.argval
        if instruction.opname == "LOAD_GLOBAL":
            value = function.__globals__.get(name)
            module = value if isinstance(value, ModuleType) else None
            yield value
        elif module is not None and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            yield getattr(module, name)
            module = None


def _called_by(function: Callable[..., Any]) -> Iterator[Symbol]:
    """What a function, or what is compiled with it, calls by symbol; each before those that call it."""
    for value in _named_by(function):
        if isinstance(value, Dispatcher):
            yield from _called_by(value.py_func)
        elif isinstance(value, Hashable) and value in _LINKED:
            yield from _called_by(_LINKED[value].function)
            yield _LINKED[value]


def compiled(caller: Any, real: str) -> Compiled:
    """A function, and all that it calls, for states of a precision.

    Args:
        caller: What others call.
        real: ``"float32"`` or ``"float64"``.
    """
    symbol, number = _LINKED[caller], getattr(types, real)
    for other in dict.fromkeys(_called_by(symbol.function)):
        other.compile(number)
    return symbol.compile(number)
