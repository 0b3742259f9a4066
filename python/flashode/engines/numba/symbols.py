"""Functions that are compiled by themselves, once an installation and precision, and called by symbol.

Numba would link a function into each that calls it, and compile it there again, and so on for those that
call that one. These the linker finds by their names, where `compile` has put them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from flashode.engines.numba.code_cache import Compiled, compile_function, installation


class Symbol:
    """A function, for states of either precision.

    Attributes:
        function: What is compiled.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        count: int,
        signature: Callable[[Any], Any],
        real_of: Callable[[Any], Any],
        *,
        disjoint: bool = False,
    ) -> None:
        """Names a function.

        Args:
            function: The function.
            name: What it is called; no two of one have the same.
            count: How many arguments it takes.
            signature: Their types, and that of the result, for a type of the state's numbers.
            real_of: That type, from the type of the first argument.
            disjoint: As of `compile_function`.
        """
        self.function = function
        self._name = name
        self._count = count
        self._signature = signature
        self._real_of = real_of
        self._disjoint = disjoint
        self._compiled: dict[Any, Compiled] = {}

    def symbol(self, real: Any) -> str:
        """Its name for the linker: of other texts it is another."""
        return f"flashode_{self._name}_{real}_{installation()[:16]}"

    def compile(self, real: Any) -> Compiled:
        """Makes its code known to the linker; it is there until the process ends."""
        if real not in self._compiled:
            symbol, signature = self.symbol(real), self._signature(real)
            compiled = compile_function(self.function, signature, symbol, disjoint=self._disjoint)
            llvmlite.binding.add_symbol(symbol, compiled.address)
            self._compiled[real] = compiled
        return self._compiled[real]

    def caller(self) -> Any:
        """What jitted code calls."""

        def typed(context: Any, *arguments: Any) -> Any:
            real = self._real_of(arguments[0])
            symbol, own = self.symbol(real), self._signature(real)
            gives_nothing = own.return_type == types.void

            def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
                kinds = [target.get_value_type(argument) for argument in signature.args]
                result = ir.VoidType() if gives_nothing else target.get_value_type(own.return_type)
                kind = ir.FunctionType(result, kinds)
                value = builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol), arguments)
                return target.get_dummy_value() if gives_nothing else value

            return own, build

        # Numba asks how many arguments there are.
        names = ", ".join(f"a{position}" for position in range(self._count))
        scope: dict[str, Any] = {"typed": typed}
        exec(f"def {self._name}(context, {names}): return typed(context, {names})", scope)
        return intrinsic(scope[self._name])
