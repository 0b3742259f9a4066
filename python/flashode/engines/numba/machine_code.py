"""What LLVM has and Python does not: jitted code calls these as functions.

Pointers are Numba's `CPointer`: `pointer[i]` reads, `pointer[i] = x` writes, nothing is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from flashode.engines.numba.code_cache import CONTRACTED, STRICT, kept


def jitted(function: Callable[..., Any]) -> Any:
    """Compiled when it is first called, and called by those that use it."""
    return kept(numba.njit(**CONTRACTED)(function))


def inlined(function: Callable[..., Any]) -> Any:
    """The same, in the place of the call: loops that call it become vector code."""
    return kept(numba.njit(**CONTRACTED, forceinline=True)(function))


def inlined_strict(function: Callable[..., Any]) -> Any:
    """The same, and every operation rounded: for what knows its rounding errors."""
    return kept(numba.njit(**STRICT, forceinline=True)(function))


def declared(builder: Any, name: str, kinds: Sequence[ir.Type], signature: ir.FunctionType) -> Any:
    """One of LLVM's functions, of the types that are part of its name."""
    return cgutils.get_or_insert_function(
        builder.module, signature, ".".join(["llvm", name, *map(_llvm_name, kinds)])
    )


def _llvm_name(kind: ir.Type) -> str:
    if isinstance(kind, ir.PointerType):
        return "p0"
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{_llvm_name(kind.element)}"
    return "f32" if isinstance(kind, ir.FloatType) else "f64"


def call_llvm(builder: Any, name: str, arguments: Sequence[Any]) -> Any:
    """Calls one of LLVM's functions of numbers, or vectors, of one type."""
    kind = arguments[0].type
    signature = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(declared(builder, name, [kind], signature), arguments)


def _of_one_number(name: str) -> Any:
    @intrinsic
    def function(context: Any, x: Any) -> Any:
        def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return call_llvm(builder, name, arguments)

        return x(x), build

    return function


absolute = _of_one_number("fabs")
square_root = _of_one_number("sqrt")
floor = _of_one_number("floor")
ceil = _of_one_number("ceil")
truncate = _of_one_number("trunc")
round_to_even = _of_one_number("rint")
# Of the standard library; exact at the powers of their bases.
exp2 = _of_one_number("exp2")
log2 = _of_one_number("log2")
log10 = _of_one_number("log10")


@intrinsic
def with_sign_of(context: Any, magnitude: Any, signed: Any) -> Any:
    """The size of one number with the sign of another."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_llvm(builder, "copysign", arguments)

    return signed(signed, signed), build


@intrinsic
def rest_of_division(context: Any, a: Any, b: Any) -> Any:
    """What a division that rounds towards zero leaves of a number: exact, with its sign."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.frem(*arguments)

    return types.float64(types.float64, types.float64), build


@intrinsic
def choose(context: Any, condition: Any, a: Any, b: Any) -> Any:
    """One of two numbers that are both there: no branch, which may keep a loop from becoming vector code."""
    number = context.unify_types(a, b)

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return number(types.boolean, number, number), build


def _bits(number: Any) -> tuple[Any, Any]:
    """From numbers of a precision to the integers that have their bits, and back."""
    of_number, of_word = (ir.DoubleType(), 64) if number == types.float64 else (ir.FloatType(), 32)

    @intrinsic
    def to_bits(context: Any, x: Any) -> Any:
        def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            bits = builder.bitcast(arguments[0], ir.IntType(of_word))
            return bits if of_word == 64 else builder.sext(bits, ir.IntType(64))

        return types.int64(number), build

    @intrinsic
    def from_bits(context: Any, bits: Any) -> Any:
        def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word = arguments[0] if of_word == 64 else builder.trunc(arguments[0], ir.IntType(of_word))
            return builder.bitcast(word, of_number)

        return number(types.int64), build

    return to_bits, from_bits


to_bits, from_bits = _bits(types.float64)
to_bits_of_single, from_bits_of_single = _bits(types.float32)


@intrinsic
def rounded_as(context: Any, x: Any, like: Any) -> Any:
    """A number in the precision of another."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return target.cast(builder, arguments[0], x, like)

    return like(x, like), build


def _polynomial(number: Any, coefficients: Sequence[float]) -> Any:
    """The function of a number of some precision, by Horner's scheme."""

    @intrinsic
    def evaluated(context: Any, x: Any) -> Any:
        def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            numbers = [target.get_constant(number, c) for c in coefficients]
            total = numbers[-1]
            for coefficient in reversed(numbers[:-1]):
                total = call_llvm(builder, "fmuladd", [total, arguments[0], coefficient])
            return total

        return number(number), build

    return evaluated


def polynomial(*coefficients: float) -> Any:
    """The function c0 + c1 x + c2 x**2 + … of a number of double precision."""
    return _polynomial(types.float64, coefficients)


def polynomial_of_single(*coefficients: float) -> Any:
    """The same of a number of single precision."""
    return _polynomial(types.float32, coefficients)


def by_precision(single: Any, double: Any) -> Any:
    """A function of a number of either precision, from one for each."""

    def function(x: Any) -> Any:
        return double(x)

    @overload(function, inline="always", strict=False)  # whose annotations differ
    def _typed(x: Any) -> Any:
        chosen = single if x == types.float32 else double
        return lambda x: chosen(x)

    return function


# These keep NaN, of which no comparison is true.


@inlined
def at_most(x, bound):
    """The smaller one."""
    return choose(x > bound, bound, x)


@inlined
def at_least(x, bound):
    """The larger one."""
    return choose(x < bound, bound, x)


@intrinsic
def part(context: Any, pointer: Any, begin: Any) -> Any:
    """The pointer to an element."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], source_etype=target.get_data_type(pointer.dtype))

    return pointer(pointer, types.intp), build


@intrinsic
def numbers_at(context: Any, address: Any, like: Any) -> Any:
    """The pointer of an address, to numbers like one that is given, or like those that a pointer is to."""
    pointer = like if isinstance(like, types.CPointer) else types.CPointer(like)

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], target.get_value_type(pointer))

    return pointer(types.intp, like), build


@intrinsic
def pointer_to(context: Any, array: Any) -> Any:
    """The pointer to an array's first number."""
    pointer = types.CPointer(array.dtype)

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return target.make_array(array)(target, builder, arguments[0]).data

    return pointer(array), build
