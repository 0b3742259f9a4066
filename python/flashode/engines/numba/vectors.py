"""Vectors of numbers, as the processor has them: where LLVM would not make good code of a loop.

Where a tile ends within a vector, ``count`` is how many of its numbers there are; the rest is zero, and is
not stored. A ``count`` of None is all of them, known when the code is compiled.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

from flashode.engines.numba.machine_code import call_llvm, declared

_INDEX = ir.IntType(32)


@cache
def vector_bytes() -> int:
    """Of the processor that code is compiled for."""
    _, _, named = cpu_target.target_context.codegen().magic_tuple()
    features = named.split(",")
    if "+avx512f" in features:
        return 64
    return 32 if "+avx" in features else 16


class Vector(types.Type):
    """Numbers of one precision, as many as a register of the processor holds."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.count = vector_bytes() * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype}, {self.count})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Vector) -> None:
        number = ir.FloatType() if fe_type.dtype == types.float32 else ir.DoubleType()
        super().__init__(manager, fe_type, ir.VectorType(number, fe_type.count))


def _constant(kind: ir.VectorType, number: float) -> ir.Constant:
    return ir.Constant(kind, [number] * kind.count)


def _mask(builder: Any, vector: ir.VectorType, count: Any) -> Any:
    """Which of the numbers there are."""
    indices = ir.VectorType(_INDEX, vector.count)
    numbers = ir.Constant(indices, list(range(vector.count)))
    end = _spread(builder, indices, builder.trunc(count, _INDEX))
    return builder.icmp_signed("<", numbers, end)


def _spread(builder: Any, kind: ir.VectorType, number: Any) -> Any:
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_INDEX, 0))
    zeros = ir.Constant(ir.VectorType(_INDEX, kind.count), [0] * kind.count)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


def _element(target: Any, builder: Any, pointer: Any, kind: Any, at: Any, vector: ir.VectorType) -> Any:
    """The pointer to a vector that begins at an element."""
    element = builder.gep(pointer, [at], source_etype=target.get_data_type(kind.dtype))
    return builder.bitcast(element, vector.as_pointer())


def _masked_load(builder: Any, pointer: Any, vector: ir.VectorType, count: Any, align: int) -> Any:
    mask = _mask(builder, vector, count)
    kind = ir.FunctionType(vector, [pointer.type, _INDEX, mask.type, vector])
    function = declared(builder, "masked.load", [vector, pointer.type], kind)
    return builder.call(function, [pointer, ir.Constant(_INDEX, align), mask, _constant(vector, 0.0)])


def _masked_store(builder: Any, value: Any, pointer: Any, count: Any, align: int) -> None:
    mask = _mask(builder, value.type, count)
    kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, _INDEX, mask.type])
    function = declared(builder, "masked.store", [value.type, pointer.type], kind)
    builder.call(function, [value, pointer, ir.Constant(_INDEX, align), mask])


def _read(builder: Any, pointer: Any, vector: ir.VectorType, count: Any, align: int) -> Any:
    if count is not None:
        return _masked_load(builder, pointer, vector, count, align)
    loaded = builder.load(pointer)
    loaded.align = align
    return loaded


def _write(builder: Any, value: Any, pointer: Any, count: Any, align: int) -> None:
    if count is not None:
        _masked_store(builder, value, pointer, count, align)
    else:
        builder.store(value, pointer).align = align


def _is_count(count: Any) -> Any:
    return types.none if isinstance(count, types.NoneType) else types.intp


@intrinsic
def zeros_like(context: Any, pointer: Any) -> Any:
    """Zeros of the precision of a pointer's numbers."""
    vector = Vector(pointer.dtype)

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _constant(target.get_value_type(vector), 0.0)

    return vector(pointer), build


@intrinsic
def length_of(context: Any, pointer: Any) -> Any:
    """How many numbers of a pointer's precision a vector has."""
    count = Vector(pointer.dtype).count

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return target.get_constant(types.intp, count)

    return types.intp(pointer), build


@intrinsic
def load(context: Any, pointer: Any, at: Any, count: Any) -> Any:
    """The numbers from an element on."""
    vector = Vector(pointer.dtype)

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = target.get_value_type(vector)
        place = _element(target, builder, arguments[0], pointer, arguments[1], kind)
        some = None if signature.args[2] == types.none else arguments[2]
        return _read(builder, place, kind, some, pointer.dtype.bitwidth // 8)

    return vector(pointer, types.intp, _is_count(count)), build


@intrinsic
def store(context: Any, pointer: Any, at: Any, value: Any, count: Any) -> Any:
    """Writes the numbers from an element on; where the pointer's are of double precision, they become so."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(target.get_data_type(pointer.dtype), value.count)
        place = _element(target, builder, arguments[0], pointer, arguments[1], kind)
        numbers = arguments[2] if pointer.dtype == value.dtype else builder.fpext(arguments[2], kind)
        some = None if signature.args[3] == types.none else arguments[3]
        _write(builder, numbers, place, some, pointer.dtype.bitwidth // 8)
        return target.get_dummy_value()

    return types.void(pointer, types.intp, value, _is_count(count)), build


@intrinsic
def add_to(context: Any, pointer: Any, at: Any, value: Any, count: Any) -> Any:
    """Adds the numbers to those from an element on."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(target.get_data_type(pointer.dtype), value.count)
        place = _element(target, builder, arguments[0], pointer, arguments[1], kind)
        numbers = arguments[2] if pointer.dtype == value.dtype else builder.fpext(arguments[2], kind)
        some = None if signature.args[3] == types.none else arguments[3]
        align = pointer.dtype.bitwidth // 8
        total = builder.fadd(_read(builder, place, kind, some, align), numbers)
        _write(builder, total, place, some, align)
        return target.get_dummy_value()

    return types.void(pointer, types.intp, value, _is_count(count)), build


@intrinsic
def spread(context: Any, number: Any) -> Any:
    """A number in every place."""
    vector = Vector(number)

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, target.get_value_type(vector), arguments[0])

    return vector(number), build


@intrinsic
def multiply_add(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c"""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return call_llvm(builder, "fmuladd", arguments)

    return c(c, c, c), build


@intrinsic
def plus(context: Any, a: Any, b: Any) -> Any:
    """a + b"""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return a(a, a), build


@intrinsic
def horizontal_sum(context: Any, value: Any) -> Any:
    """The sum of the numbers, by halves: in an order that does not depend on the compiler."""

    def build(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        (part,) = arguments
        count = value.count
        while count > 1:
            count //= 2
            undefined = ir.Constant(part.type, ir.Undefined)
            low, high = (
                builder.shuffle_vector(
                    part, undefined, ir.Constant(ir.VectorType(_INDEX, count), list(range(b, b + count)))
                )
                for b in (0, count)
            )
            part = builder.fadd(low, high)
        return builder.extract_element(part, ir.Constant(_INDEX, 0))

    return value.dtype(value), build
