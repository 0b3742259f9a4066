"""Calls of machine code by its address, and what Numba has no function for."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from flashode.engines.numba.loops.jit import expanded
from flashode.engines.numba.machine_code import numbers_at, part

# Where a worker that waits leaves its processor to others: a name that machine code kept on disk still finds.
_YIELD = "flashode_yield_processor"
if sys.platform == "win32":
    _yield = ctypes.WinDLL("kernel32").SwitchToThread
else:
    _yield = ctypes.CDLL(None).sched_yield
llvm.add_symbol(_YIELD, ctypes.cast(_yield, ctypes.c_void_p).value)

_WORD = ir.IntType(64)


def _call(builder: Any, result: ir.Type, address: Any, arguments: Any) -> Any:
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)


@intrinsic  # type: ignore[untyped-decorator]
def call_field(
    typing: Any,
    code: Any,
    t: Any,
    y: Any,
    c: Any,
    parameters: Any,
    uniform: Any,
    work: Any,
    out: Any,
    lanes: Any,
) -> Any:
    """Calls a field; see ``field_code``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, ir.VoidType(), arguments[0], arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, t, *[types.intp] * 7), generate


@intrinsic  # type: ignore[untyped-decorator]
def call_shared(typing: Any, code: Any, t: Any, parameters: Any, uniform: Any) -> Any:
    """Calls what computes a field's uniform values."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _call(builder, ir.VoidType(), arguments[0], arguments[1:])
        return context.get_dummy_value()

    return types.void(types.intp, t, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def call_vjp(
    typing: Any,
    code: Any,
    t: Any,
    y: Any,
    c: Any,
    parameters: Any,
    uniform: Any,
    work: Any,
    cotangent: Any,
    grad_y: Any,
    grad_c: Any,
    grad_parameters: Any,
    lanes: Any,
) -> Any:
    """Calls a field's vjp, and gives the gradient in t."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, ir.DoubleType(), arguments[0], arguments[1:])

    return types.float64(types.intp, t, *[types.intp] * 10), generate


@intrinsic  # type: ignore[untyped-decorator]
def fetch_add(typing: Any, address: Any, amount: Any) -> Any:
    """Adds to a number that other threads see, and gives what it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        return builder.atomic_rmw("add", pointer, arguments[1], "seq_cst")

    return types.int64(types.intp, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def load_atomic(typing: Any, address: Any) -> Any:
    """A number that other threads change, and all that they wrote before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def yield_processor(typing: Any) -> Any:
    """Lets another thread run."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [])
        existing = builder.module.globals.get(_YIELD)
        builder.call(existing or ir.Function(builder.module, kind, _YIELD), [])
        return context.get_dummy_value()

    return types.void(), generate


@expanded
def numbers(address: int, like: Any, first: int, count: int) -> Any:
    """An array of numbers like the one given, from the first-th at the address on."""
    return carray(part(numbers_at(address, like), first), count)


@expanded
def doubles(address: int, first: int, count: int) -> Any:
    """The same of doubles."""
    return numbers(address, 0.0, first, count)


@expanded
def integers(address: int, first: int, count: int) -> Any:
    """The same of integers."""
    return numbers(address, 0, first, count)
