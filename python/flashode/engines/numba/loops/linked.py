"""Functions of records that are compiled by themselves and call each other by symbol."""

from __future__ import annotations

import dis
from collections.abc import Callable, Hashable, Iterator
from functools import cache, partial
from types import ModuleType
from typing import Any

import numba
from numba import types
from numba.core.dispatcher import Dispatcher

from flashode.engines.numba.code_cache import Compiled
from flashode.engines.numba.loops.records import ADJOINT, GOAL, PROGRESS, REVERSE, STEP, system_record
from flashode.engines.numba.symbols import Symbol

# What such functions take, the system first; addresses and truth values are integers.
SYSTEM, AIM, AT, AT_STEP, BACK, EQUATIONS = "system", "goal", "progress", "step", "reverse", "adjoint"
INT, FLOAT = "int", "float"


@cache
def _types(real: str) -> dict[str, Any]:
    return {
        SYSTEM: numba.from_dtype(system_record(real)),
        AIM: numba.from_dtype(GOAL),
        AT: numba.from_dtype(PROGRESS),
        AT_STEP: numba.from_dtype(STEP),
        BACK: numba.from_dtype(REVERSE),
        EQUATIONS: numba.from_dtype(ADJOINT),
        INT: types.int64,
        FLOAT: types.float64,
    }


# By the intrinsic that calls each.
_LINKED: dict[Any, Symbol] = {}


def linked(*kinds: str, result: str | None = None) -> Callable[[Callable[..., Any]], Any]:
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


def _signature(kinds: tuple[str, ...], result: str | None, real: Any) -> Any:
    known = _types(str(real))
    gives = types.void if result is None else known[result]
    return gives(*[known[kind] for kind in kinds])


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
