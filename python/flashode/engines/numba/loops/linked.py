"""Functions of records that are compiled by themselves and called by symbol.

Numba would link a function into each that calls it, and compile it there again, and so on for those that
call that one. What is linked by symbol is compiled once an installation and precision, and kept on disk by
itself.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Hashable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

from flashode.engines.numba.code_cache import Compiled, compile_function, installation
from flashode.engines.numba.loops.records import ADJOINT, GOAL, PROGRESS, REVERSE, STEP, system_record

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


class Linked:
    """A function that is compiled by itself.

    Args:
        function: What is compiled.
        result: The kind of what it gives, or None.
        kinds: Of what it takes.
    """

    def __init__(self, function: Callable[..., Any], result: str | None, kinds: tuple[str, ...]) -> None:
        self.name = f"{function.__module__.rpartition('.')[2]}_{function.__name__}"
        self.function = function
        self._result = result
        self._kinds = kinds

    def signature(self, real: str) -> Any:
        """For states of a precision."""
        known = _types(real)
        result = types.void if self._result is None else known[self._result]
        return result(*[known[kind] for kind in self._kinds])

    def symbol(self, real: str) -> str:
        """Its name for the linker: of other texts it is another."""
        return f"flashode_{self.name}_{real}_{installation()[:16]}"

    def compile(self, real: str) -> Compiled:
        """Makes its code known to the linker; it is there until the process ends."""
        compiled = compile_function(self.function, self.signature(real), self.symbol(real))
        llvmlite.binding.add_symbol(self.symbol(real), compiled.address)
        return compiled

    def caller(self) -> Any:
        """What jitted code calls."""

        def typed(context: Any, *arguments: Any) -> Any:
            real = str(arguments[0].typeof("one"))
            symbol = self.symbol(real)

            def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                kinds = [target.get_value_type(argument) for argument in signature.args]
                result = (
                    ir.VoidType() if self._result is None else target.get_value_type(signature.return_type)
                )
                kind = ir.FunctionType(result, kinds)
                value = builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), arguments)
                return target.get_dummy_value() if self._result is None else value

            return self.signature(real), build

        # Numba asks how many arguments there are.
        names = ", ".join(f"a{position}" for position in range(len(self._kinds)))
        scope: dict[str, Any] = {"typed": typed}
        exec(f"def {self.name}(context, {names}): return typed(context, {names})", scope)
        return intrinsic(scope[self.name])


# By the intrinsic that calls each.
_LINKED: dict[Any, Linked] = {}


def linked(*kinds: str, result: str | None = None) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function by itself, and gives what others call.

    Args:
        kinds: Of what it takes.
        result: Of what it gives.
    """

    def decorated(function: Callable[..., Any]) -> Any:
        it = Linked(function, result, kinds)
        caller = it.caller()
        _LINKED[caller] = it
        return caller

    return decorated


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


def _called_by(function: Callable[..., Any]) -> Iterator[Linked]:
    """What a function, or what is compiled with it, calls by symbol; each before those that call it."""
    for value in _named_by(function):
        if isinstance(value, Dispatcher):
            yield from _called_by(value.py_func)
        elif isinstance(value, Hashable) and value in _LINKED:
            yield from _called_by(_LINKED[value].function)
            yield _LINKED[value]


@cache
def _compiled(it: Linked, real: str) -> Compiled:
    return it.compile(real)


def compiled(caller: Any, real: str) -> Compiled:
    """A function, and all that it calls, for states of a precision.

    Args:
        caller: What others call.
        real: ``"float32"`` or ``"float64"``.
    """
    it = _LINKED[caller]
    for other in dict.fromkeys(_called_by(it.function)):
        _compiled(other, real)
    return _compiled(it, real)
