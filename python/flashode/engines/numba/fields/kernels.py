"""Functions that are compiled once an installation, and called by the code of every Program.

Numba would link a function into each that calls it, and compile it there again. These are symbols instead,
which the code of Programs names: LLVM finds them where `define` has put them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from flashode.engines.numba.code_cache import Compiled, compile_function, installation

# What kernels take: pointers to numbers of the state's precision or of double, to entries of tables; sizes.
NUMBERS, DOUBLES, TABLE, SIZE = "numbers", "doubles", "table", "size"


class Kernel:
    """A function, the first argument of which is a pointer to numbers of the state's precision."""

    def __init__(self, function: Callable[..., None], arguments: tuple[str, ...]) -> None:
        self._function = function
        self._arguments = arguments

    @property
    def module(self) -> str:
        """Where it is defined."""
        return self._function.__module__

    def signature(self, real: Any) -> Any:
        """For numbers of a precision."""
        kinds = {
            NUMBERS: types.CPointer(real),
            DOUBLES: types.CPointer(types.float64),
            TABLE: types.CPointer(types.int32),
            SIZE: types.intp,
        }
        return types.void(*[kinds[argument] for argument in self._arguments])

    def symbol(self, real: Any) -> str:
        """Its name for the linker: of other texts it is another."""
        return f"flashode_{self._function.__name__}_{real}_{installation()[:16]}"

    def compile(self, real: Any) -> Compiled:
        """Makes its code known to the linker; it is there until the process ends."""
        compiled = compile_function(self._function, self.signature(real), self.symbol(real), disjoint=True)
        llvmlite.binding.add_symbol(self.symbol(real), compiled.address)
        return compiled

    def caller(self) -> Any:
        """What jitted code calls."""

        def typed(context: Any, *arguments: Any) -> Any:
            real = arguments[0].dtype
            symbol = self.symbol(real)

            def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                kinds = [target.get_value_type(argument) for argument in signature.args]
                kind = ir.FunctionType(ir.VoidType(), kinds)
                builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), arguments)
                return target.get_dummy_value()

            return self.signature(real), build

        # Numba asks how many arguments there are.
        names = ", ".join(f"a{position}" for position in range(len(self._arguments)))
        scope: dict[str, Any] = {"typed": typed}
        exec(f"def {self._function.__name__}(context, {names}): return typed(context, {names})", scope)
        return intrinsic(scope[self._function.__name__])


_KERNELS: dict[str, Kernel] = {}


def kernel(*arguments: str) -> Callable[[Callable[..., None]], Any]:
    """Makes a kernel of a function, and gives what jitted code calls.

    Args:
        arguments: The kinds of what it takes, NUMBERS first. No two pointers may be to the same numbers where
            one is written to.
    """

    def made(function: Callable[..., None]) -> Any:
        _KERNELS[function.__name__] = Kernel(function, arguments)
        return _KERNELS[function.__name__].caller()

    return made


def kernels_of(module: str) -> list[str]:
    """The names of those that a module has."""
    return [name for name, kernel in _KERNELS.items() if kernel.module == module]


@cache
def define(name: str, real: Any) -> Compiled:
    """Makes a kernel known to the linker, for numbers of a precision."""
    return _KERNELS[name].compile(real)
