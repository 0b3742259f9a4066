"""Fields and their vjps as machine code."""

from __future__ import annotations

import linecache
import sys
import types as python_types
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
from flashode.engines.numba.fields.vjp_text import VjpText
from flashode.notices import told_if_slow
from flashode.program import Program

_REALS = {torch.float32: types.float32, torch.float64: types.float64}


@dataclass(frozen=True)
class Function:
    """A function that is compiled when it is first needed, and called by the conventions of C.

    Attributes:
        text: The module that it is compiled from.
        name: Its name there.
        signature: The types of what it takes and gives.
        kernels: What it calls.
        real: The type of the state's numbers.
        rows: Numbers of scratch memory for each lane.
        numbers: Numbers beside them.
    """

    text: str
    name: str
    signature: Any
    kernels: tuple[str, ...]
    real: Any
    rows: int = 0
    numbers: int = 0

    @cached_property
    def address(self) -> int:
        """Where its code is, until the process ends."""
        with told_if_slow(f"Numba compiles a function's {self.name}", SLOW_SECONDS):
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
    """

    field: Function
    shared: Function
    uniform_size: int

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
    return FieldCode(
        Function(field.text(), "field", of_field, tuple(field.source.kernels), real, rows=field.memory.end),
        Function(shared.text(), "shared", of_shared, tuple(shared.source.kernels), real),
        shared.uniform.size,
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
    return Function(vjp.text(), "vjp", signature, kernels, real, rows=vjp.memory.end, numbers=vjp.begin)


# By their texts, until the process ends: the linker may find a function under the name of one that has gone.
_functions: dict[str, Compiled] = {}


def _compiled(function: Function) -> Compiled:
    # A text that only calls kernels is the same for both precisions.
    key = disk_cache.key_of(function.text, str(function.signature), installation())
    with compiling:
        if key not in _functions:
            for kernel in sorted(function.kernels):
                define(kernel, function.real)
            python = _function(function.text, function.name, key)
            _functions[key] = compile_function(python, function.signature, function.text, disjoint=True)
        return _functions[key]


def _function(text: str, name: str, key: str) -> Callable[..., Any]:
    """The function of a text, in a module of its own: of two functions of one module and name the code may be
    taken for each other's.
    """
    module = python_types.ModuleType(f"flashode_{name}_{key[:32]}")
    path = f"<{module.__name__}>"
    module.__file__ = path
    # Tracebacks and `inspect` show it.
    linecache.cache[path] = (len(text), None, text.splitlines(keepends=True), path)
    sys.modules[module.__name__] = module
    exec(compile(text, path, "exec"), module.__dict__)
    function: Callable[..., Any] = getattr(module, name)
    return function
