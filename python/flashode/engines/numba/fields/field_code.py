"""Fields and their vjps as machine code."""

from __future__ import annotations

import linecache
import sys
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numba import types

from flashode.engines.compiled import disk_cache
from flashode.engines.numba.code_cache import (
    SLOW_SECONDS,
    Compiled,
    compile_function,
    compiling,
    installation,
)
from flashode.engines.numba.fields.field_text import FieldText, SharedText
from flashode.engines.numba.fields.kernels import define
from flashode.engines.numba.fields.source import Text
from flashode.engines.numba.fields.vjp_text import VjpText
from flashode.engines.numba.symbols import Symbol
from flashode.notices import told_if_slow
from flashode.program import Program

_REALS = {torch.float32: types.float32, torch.float64: types.float64}


@dataclass(frozen=True)
class Function:
    """A function that is compiled when it is first needed, and called by the conventions of C.

    Attributes:
        definition: What it is compiled from.
        program: What it is made of, for readers: of Programs that differ by numbers it is the same function.
        signature: The types of what it takes and gives.
        kernels: What it calls.
        real: The type of the state's numbers.
        rows: Numbers of scratch memory for each lane.
        numbers: Numbers beside them.
    """

    definition: Text
    program: str
    signature: Any
    kernels: tuple[str, ...]
    real: Any
    rows: int = 0
    numbers: int = 0

    @property
    def text(self) -> str:
        """Its modules under the Program, as comments."""
        comments = [f"# {line}".rstrip() for line in self.program.splitlines()]
        return "\n".join([*comments, *self.definition.pieces, self.definition.module])

    @cached_property
    def address(self) -> int:
        """Where its code is, until the process ends."""
        with told_if_slow(f"Numba compiles a function's {self.definition.name}", SLOW_SECONDS):
            return _compiled(self).address

    def work(self, lanes: int) -> int:
        """Numbers of scratch memory that it takes for so many trajectories."""
        return self.numbers + self.rows * lanes


@dataclass(frozen=True)
class FieldCode:
    """A field.

    Attributes:
        field: ``field(t, y*, c*, parameters*, uniform*, work*, out*, lanes)``.
        shared: ``shared(t, parameters*, uniform*)``, of what all trajectories share at a time. The first of
            these is t, which loops write themselves where there is no other.
        uniform_size: Numbers that it writes.
        constants: The numbers of the Program's operations, which both read, and the field's vjp.
    """

    field: Function
    shared: Function
    uniform_size: int
    constants: npt.NDArray[Any]

    def addresses(self, parameters: Iterable[int]) -> array[int]:
        """What code is handed as ``parameters``: their addresses, and after them that of the constants."""
        return array("q", [*parameters, self._constants])

    @cached_property
    def _constants(self) -> int:
        return self.constants.ctypes.data

    @property
    def called(self) -> tuple[Function, ...]:
        """What a solve calls of it."""
        return (self.field, self.shared) if self.uniform_size > 1 else (self.field,)

    @property
    def shared_address(self) -> int:
        """Where the code of ``shared`` is; 0 where it is not called."""
        return self.shared.address if self.uniform_size > 1 else 0


def field_code(program: Program, dtype: torch.dtype) -> FieldCode:
    """The code of a field."""
    field, shared = FieldText(program, dtype), SharedText(program, dtype)
    real = _REALS[dtype]
    numbers, addresses = types.CPointer(real), types.CPointer(types.intp)
    of_field = types.void(real, numbers, numbers, addresses, numbers, numbers, numbers, types.intp)
    of_shared = types.void(real, addresses, numbers)
    with np.errstate(over="ignore"):  # what is infinite in single precision
        constants = np.array(field.constants.numbers, str(dtype).removeprefix("torch."))
    kernels, of_both = tuple(field.source.kernels), tuple(shared.source.kernels)
    return FieldCode(
        Function(field.text(), str(program), of_field, kernels, real, rows=field.memory.end),
        Function(shared.text(), str(program), of_shared, of_both, real),
        shared.uniform.size,
        constants,
    )


def vjp_code(
    program: Program, dtype: torch.dtype, sources: Collection[int], parameters: Collection[int]
) -> Function:
    """The code of a field's vjp.

    It is ``vjp(t, y*, c*, parameters*, uniform*, work*, cotangent*, grad_y*, grad_c*, grad_parameters*,
    lanes)``, and gives the gradient in t.

    Args:
        program: The field.
        dtype: Of the state.
        sources: Which of the inputs T and C gradients are wanted in, beside y.
        parameters: Which of its parameters.
    """
    vjp = VjpText(program, dtype, sources, parameters)
    real = _REALS[dtype]
    numbers, addresses = types.CPointer(real), types.CPointer(types.intp)
    inputs = (real, numbers, numbers, addresses, numbers, numbers)
    signature = types.float64(*inputs, numbers, numbers, numbers, addresses, types.intp)
    kernels = tuple(vjp.source.kernels)
    sizes = {"rows": vjp.memory.end, "numbers": vjp.begin}
    return Function(vjp.text(), str(program), signature, kernels, real, **sizes)


# By their definitions, until the process ends: the linker may find a function under the name of one that is
# gone.
_functions: dict[str, Compiled] = {}
_pieces: dict[str, Symbol] = {}


def _compiled(function: Function) -> Compiled:
    definition, signature = function.definition, function.signature
    text = "\0".join([*definition.pieces, definition.module])
    # A text that only calls kernels is the same for both precisions.
    key = disk_cache.key_of(text, str(signature), installation())
    with compiling:
        if key not in _functions:
            for kernel in sorted(function.kernels):
                define(kernel, function.real)
            pieces = {
                name: _piece(module, name, signature.args).caller()
                for name, module in definition.named_pieces().items()
            }
            python = _function(definition.module, definition.name, key, pieces)
            _functions[key] = compile_function(python, signature, text, disjoint=True)
        return _functions[key]


def _piece(module: str, name: str, arguments: Sequence[Any]) -> Symbol:
    """A piece of a function, known to the linker; the first of its arguments is a number of the state's."""
    signature = types.void(*arguments)
    key = disk_cache.key_of(module, str(signature), installation())
    if key not in _pieces:
        python, unique = _function(module, name, key), f"{name}_{key[:32]}"
        symbol = Symbol(python, unique, len(arguments), lambda _: signature, lambda t: t, disjoint=True)
        symbol.compile(arguments[0])
        _pieces[key] = symbol
    return _pieces[key]


def _function(
    text: str, name: str, key: str, known: Mapping[str, Any] = MappingProxyType({})
) -> Callable[..., Any]:
    """The function of a text, in a module of its own: of two functions of one module and name the code may be
    taken for each other's. What is ``known`` there stands beside it.
    """
    module = ModuleType(f"flashode_{name}_{key[:32]}")
    path = f"<{module.__name__}>"
    module.__file__ = path
    # Tracebacks and `inspect` show it.
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    sys.modules[module.__name__] = module
    module.__dict__.update(known)
    exec(compile(text, path, "exec"), module.__dict__)
    function: Callable[..., Any] = getattr(module, name)
    return function
