"""Building a Program from tensors seen as arrays of references to its rows.

A traced tensor is lowered to an integer array of the tensor's own shape, whose entries say which row of which
Program value holds that element. Every view, transpose, slice, stack, broadcast and in-place write then is
numpy indexing, and a ``Gather`` is emitted only where an operation needs rows that do not lie together.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Hashable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from flashode.capture.refusal import TooLarge, Unsupported
from flashode.program import (
    BINARY,
    INPUTS,
    UNARY,
    Binary,
    Bucketize,
    C,
    Constant,
    Dense,
    DenseDynamic,
    Gather,
    Lookup,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Select,
    T,
    Unary,
    Y,
    floats,
    integers,
    operands,
    renumbered,
)

Rows = npt.NDArray[np.int64]  # references to rows, of any shape
MAX_ROWS = 1 << 18
_NEUTRAL = {"add": -0.0, "sub": 0.0, "mul": 1.0}


def negative_zero(number: float) -> bool:
    """Whether it is -0.0, which added to anything changes nothing, as 0.0 added to -0.0 does."""
    return number == 0.0 and math.copysign(1.0, number) < 0.0


def distinct(references: Rows) -> Rows:
    """Those that differ, in ascending order.

    ``numpy.unique`` alone would import numpy's masked arrays, a third of a second in a fresh process.
    """
    ordered = np.sort(references, axis=None)
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first]


class ProgramBuilder:
    """Emits operations; equal ones are emitted once, and unused ones are left out of the finished Program."""

    def __init__(self, y_width: int, c_width: int, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._widths = [1, y_width, c_width]
        self._starts = [0, 1, 1 + y_width]
        self._end = 1 + y_width + c_width
        self._computed = 0
        self._ops: list[Op] = []
        self._parameter_shapes: list[tuple[int, ...]] = []
        self._known: dict[Hashable, int] = {}

    def value(self, value: int) -> Rows:
        """References to all rows of a value."""
        start = self._starts[value]
        return np.arange(start, start + self._widths[value])

    def constant(self, values: npt.NDArray[np.float64]) -> Rows:
        """Literal rows, of the shape given; equal numbers are one row."""
        if not values.size:
            return np.empty(values.shape, np.int64)
        flat = np.ascontiguousarray(values, np.float64).ravel()
        # By their bits, because 0.0 and -0.0 are equal numbers but different constants.
        distinct, inverse = np.unique(flat.view(np.int64), return_inverse=True)
        if len(distinct) == len(flat):
            return self.value(self._constant(flat)).reshape(values.shape)
        return self.value(self._constant(distinct.view(np.float64)))[inverse].reshape(values.shape)

    def nothing(self, shape: tuple[int, ...]) -> Rows:
        """Zeros that are none of the function's own: terms of a derivative that are left out."""
        return np.broadcast_to(self._zero("nothing"), shape)

    def is_nothing(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows are such zeros."""
        return self._is_zero("nothing", rows)

    def zero_tangent(self) -> Rows:
        """A zero-dimensional zero, with which torch's forward mode fills a matrix that has no tangent.

        Most of its operations know such a matrix, which makes nothing of whatever it multiplies. Its matrix
        products do not: they fill memory and multiply.
        """
        return self._zero("tangent")

    def fills(self, rows: Rows) -> bool:
        """Whether rows of a matrix are that zero, all of them, or nothing."""
        return bool((self._is_zero("tangent", rows) | self._is_zero("nothing", rows)).all())

    def own(self) -> Rows:
        """What stands for the number of the trajectory, which an index may be and a number is not."""
        return self._zero("own", math.nan)

    def is_own(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which rows are that."""
        return self._is_zero("own", rows)

    def parameter_behind(self, rows: Rows) -> int | None:
        """The parameter that all of the rows are elements of, if there is one."""
        op = self.owner(rows)
        return op.parameter if isinstance(op, Parameter) else None

    def _zero(self, kind: str, number: float = 0.0) -> Rows:
        return self.value(self._emit(("zero", kind), 1, lambda out: Constant(out, (number,))))

    def _is_zero(self, kind: str, rows: Rows) -> npt.NDArray[np.bool_]:
        value = self._known.get(("zero", kind))
        return np.zeros(rows.shape, bool) if value is None else rows == self._starts[value]

    def new_parameter(self, shape: tuple[int, ...]) -> int:
        """Declares an external tensor and returns its parameter index."""
        self._parameter_shapes.append(shape)
        return len(self._parameter_shapes) - 1

    def parameter(self, index: int) -> Rows:
        """References to a parameter's elements, in its shape."""
        shape = self._parameter_shapes[index]
        width = int(np.prod(shape, dtype=np.int64))
        value = self._emit(("parameter", index), width, lambda out: Parameter(out, index))
        return self.value(value).reshape(shape)

    def unary(self, fn: str, constants: tuple[float, ...], x: Rows) -> Rows:
        """Applies an element-wise function, once to each distinct row."""
        distinct, inverse = np.unique(x, return_inverse=True)
        literal = self.literal(distinct)
        if literal is not None:
            result = UNARY[fn].evaluate(torch.tensor(literal, dtype=self._dtype, device="cpu"), *constants)
            return self.constant(result.double().numpy())[inverse].reshape(x.shape)
        source = self._gathered(distinct)
        hexed = tuple(float(c).hex() for c in constants)
        exact = tuple(float(c) for c in constants)
        out = self._emit((fn, source, hexed), len(distinct), lambda out: Unary(out, source, fn, exact))
        return self.value(out)[inverse].reshape(x.shape)

    def binary(self, fn: str, a: Rows, b: Rows) -> Rows:
        """Applies an element-wise function to rows of one shape, once to each distinct pair."""
        pairs = a.ravel() * np.int64(self._end) + b.ravel()
        distinct, first, inverse = np.unique(pairs, return_index=True, return_inverse=True)
        left, right = a.ravel()[first], b.ravel()[first]
        unchanged = self._unchanged(fn, left, right)
        if unchanged is not None:
            computed = unchanged < 0
            if computed.any():
                unchanged[computed] = self.binary(fn, left[computed], right[computed])
            return unchanged[inverse].reshape(a.shape)
        literals = self.literal(left), self.literal(right)
        if literals[0] is not None and literals[1] is not None:
            tensors = [torch.tensor(literal, dtype=self._dtype, device="cpu") for literal in literals]
            result = BINARY[fn](tensors[0], tensors[1])
            return self.constant(result.double().numpy())[inverse].reshape(a.shape)
        sources = self._gathered(left), self._gathered(right)
        out = self._emit((fn, *sources), len(distinct), lambda out: Binary(out, *sources, fn))
        return self.value(out)[inverse].reshape(a.shape)

    def select(self, condition: Rows, a: Rows, b: Rows) -> Rows:
        """Rows of ``a`` where the condition is not zero, else of ``b``; all of one shape."""
        known = self.literal(condition)
        if known is not None:
            return np.where(known != 0, a, b)
        pairs, at = np.unique(a.ravel() * np.int64(self._end) + b.ravel(), return_inverse=True)
        triples = condition.ravel() * np.int64(len(pairs)) + at.ravel()
        distinct, first, inverse = np.unique(triples, return_index=True, return_inverse=True)
        sources = tuple(self._gathered(rows.ravel()[first]) for rows in (condition, a, b))
        out = self._emit(("select", *sources), len(distinct), lambda out: Select(out, *sources))
        return self.value(out)[inverse].reshape(a.shape)

    def dense_dynamic(self, x: Rows, weight: Rows) -> Rows:
        """(blocks, repeats, in_features) times computed matrices (blocks, out_features, in_features)."""
        (blocks, repeats, _), features = x.shape, weight.shape[1]
        vectors, matrices = self._gathered(x.ravel()), self._gathered(weight.ravel())
        key = ("dense_dynamic", vectors, matrices, blocks, repeats)
        width = blocks * repeats * features
        out = self._emit(key, width, lambda out: DenseDynamic(out, vectors, matrices, blocks, repeats))
        return self.value(out).reshape(blocks, repeats, features)

    def segment_sum(self, x: Rows, segment: Rows, count: int) -> Rows:
        """Sums of the elements of ``x`` by the target that ``segment`` names for each, (count,)."""
        if self.is_nothing(x).all():
            return self.nothing((count,))
        source = self._gathered(x)
        targets = integers(segment)
        out = self._emit(("sum", source, targets), count, lambda out: SegmentSum(out, source, targets))
        return self.value(out)

    def bucketize(self, x: Rows, knots: Rows | int, right: bool) -> Rows:
        """How many knots (groups, count) lie before each of ``x`` (groups, size).

        Knots that are a number are a parameter's, which holds them for each group in turn.
        """
        groups = x.shape[0]
        distinct, inverse = np.unique(x, return_inverse=True) if groups == 1 else (x.ravel(), slice(None))
        source, parameter = self._gathered(distinct), knots if isinstance(knots, int) else None
        value = None if isinstance(knots, int) else self._gathered(knots.ravel())
        key = ("bucketize", source, value, parameter, groups, right)
        out = self._emit(
            key, len(distinct), lambda out: Bucketize(out, source, value, parameter, groups, right)
        )
        return self.value(out)[inverse].reshape(x.shape)

    def lookup(self, index: Rows, table: Rows, parameter: int | None = None) -> Rows:
        """Of tables (count, size, width) the rows (size, width) that ``index`` (size,) names.

        The tables are rows of a value; or, with a ``parameter``, numbers of its elements.
        """
        count, size, width = table.shape
        value, table = (None, table) if parameter is not None else self._in_one_value(table)
        starts, stride = integers(table[0].ravel()), self.stride(table)
        assert stride is not None
        source = self._gathered(index)
        key = ("lookup", source, value, parameter, starts, stride, count)
        out = self._emit(
            key,
            size * width,
            lambda out: Lookup(out, source, value, parameter, starts, stride, count),
        )
        return self.value(out).reshape(size, width)

    def _in_one_value(self, table: Rows) -> tuple[int, Rows]:
        """A value that holds the rows of tables, and which they are there, so far apart as lookups take."""
        values = self.values_of(table)
        if len(values) == 1 and self.stride(table) is not None:
            return values[0], table - self._starts[values[0]]
        return self._gathered(table.ravel()), np.arange(table.size).reshape(table.shape)

    @staticmethod
    def stride(table: Rows) -> int | None:
        """How far apart the rows along the first axis are, where all of them are; 1 where there is one."""
        if len(table) == 1:
            return 1
        apart = int((table[1] - table[0]).flat[0])
        return apart if apart > 0 and bool((np.diff(table, axis=0) == apart).all()) else None

    def sum_last(self, x: Rows) -> Rows:
        """Sums over the last dimension."""
        if x.shape[-1] == 1:
            return x[..., 0]
        shape = x.shape[:-1]
        count = int(np.prod(shape, dtype=np.int64))
        return self.segment_sum(x.ravel(), np.repeat(np.arange(count), x.shape[-1]), count).reshape(shape)

    def dense(self, x: Rows, weight: int, bias: int | None) -> Rows:
        """Applies a weight to each row of ``x`` (repeats, in_features) → (repeats, out_features)."""
        repeats = x.shape[0]
        features = self._parameter_shapes[weight][0]
        source = self._gathered(x.ravel())
        key = ("dense", source, weight, bias, repeats)
        out = self._emit(key, repeats * features, lambda out: Dense(out, source, weight, bias, repeats))
        return self.value(out).reshape(repeats, features)

    def shared_factor(self, x: Rows) -> tuple[Rows, Rows] | None:
        """The vector (terms,) and matrix whose product sums over the last axis of ``x`` (sums, terms) are.

        None unless all terms are products and all sums have one factor in common.
        """
        op = self.owner(x)
        if not isinstance(op, Binary) or op.fn != "mul":
            return None
        place = x - self._starts[op.out]
        factors = [self._behind(self.value(value)[place]) for value in (op.a, op.b)]
        for vectors, matrix in (factors, factors[::-1]):
            if (vectors == vectors[0]).all():
                return vectors[0], matrix
        return None

    def _behind(self, rows: Rows) -> Rows:
        """The rows that gathers took these from."""
        while isinstance(op := self.owner(rows), Gather):
            sources = np.concatenate([self.value(value) for value in op.inputs])
            rows = sources[np.array(op.index)[rows - self._starts[op.out]]]
        return rows

    def undetached(self, rows: Rows) -> Rows:
        """The rows that these are, but for their gradient."""
        while isinstance(op := self.owner(rows), Unary) and op.fn == "detach":
            rows = self.value(op.x)[rows - self._starts[op.out]]
        return rows

    def owner(self, rows: Rows) -> Op | None:
        """The operation whose value holds all of ``rows``; None if it is not one, or an input."""
        owners = distinct(np.searchsorted(self._starts, rows.ravel(), "right") - 1)
        return self._ops[owners[0] - INPUTS] if len(owners) == 1 and owners[0] >= INPUTS else None

    def values_of(self, rows: Rows) -> list[int]:
        """The values that hold the rows."""
        return [int(v) for v in distinct(np.searchsorted(self._starts, rows.ravel(), "right") - 1)]

    def op_of(self, value: int) -> Op | None:
        """The operation that writes a value; None for an input."""
        return self._ops[value - INPUTS] if value >= INPUTS else None

    def size_of(self, value: int | None, parameter: int | None) -> int:
        """Elements of what is a value, or else a parameter."""
        if value is not None:
            return self._widths[value]
        assert parameter is not None
        return math.prod(self._parameter_shapes[parameter])

    def is_static(self, rows: Rows) -> bool:
        """Whether all rows are literals or elements of parameters."""
        if rows.size and not self._is_static_value(bisect.bisect(self._starts, rows.flat[0]) - 1):
            return False  # most are told by their first row
        owners = distinct(np.searchsorted(self._starts, rows.ravel(), "right") - 1)
        return all(map(self._is_static_value, owners))

    def _is_static_value(self, value: int) -> bool:
        return value >= INPUTS and isinstance(self._ops[value - INPUTS], (Parameter, Constant))

    def literal(self, rows: Rows) -> npt.NDArray[np.float64] | None:
        """The numbers that the rows hold, if all of them are literals."""
        owners = distinct(np.searchsorted(self._starts, rows.ravel(), "right") - 1)
        if not all(owner >= INPUTS and isinstance(self._ops[owner - INPUTS], Constant) for owner in owners):
            return None
        return self._literals(rows.ravel())[0].reshape(rows.shape)

    def _literals(self, rows: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """The numbers that rows hold, and which rows are literals."""
        owners = np.searchsorted(self._starts, rows, "right") - 1
        numbers, known = np.zeros(rows.size), np.zeros(rows.size, bool)
        for owner in distinct(owners):
            op = self._ops[owner - INPUTS] if owner >= INPUTS else None
            if isinstance(op, Constant):
                held = owners == owner
                numbers[held] = np.array(op.values)[rows[held] - self._starts[owner]]
                known |= held
        return numbers, known

    def _unchanged(self, fn: str, left: Rows, right: Rows) -> Rows | None:
        """The rows that ``x + -0``, ``x - 0`` and ``x * 1`` leave as they are, -1 elsewhere; None if none.

        The derivative of a slice is a tensor of zeros but for the slice, so that sums of derivatives are full
        of such rows; and ``nothing`` leaves other terms as they are, and nothing of other factors.
        """
        if fn not in _NEUTRAL:
            return None
        unchanged = np.full(len(left), -1)
        for kept, other in ((left, right),) if fn == "sub" else ((left, right), (right, left)):
            numbers, known = self._literals(other)
            neutral = known & (numbers == _NEUTRAL[fn]) & (np.signbit(numbers) == np.signbit(_NEUTRAL[fn]))
            unchanged[neutral] = kept[neutral]
            none = self.is_nothing(other)
            unchanged[none] = other[none] if fn == "mul" else kept[none]
        return unchanged if (unchanged >= 0).any() else None

    def finish(self, output: Rows) -> tuple[Program, list[int]]:
        """The Program that computes ``output``, and which of the declared parameters it takes, in order."""
        result = self._gathered(output.ravel())
        needed = {result}
        for op in reversed(self._ops):
            if op.out in needed:
                needed.update(operands(op))
        ops_needed = [op for op in self._ops if op.out in needed]
        shared = _shared(ops_needed)
        renumber = {value: value for value in range(INPUTS)}
        parameters: dict[int, int] = {}

        def parameter(index: int) -> int:
            return parameters.setdefault(index, len(parameters))

        ops: list[Op] = []
        for op in sorted(ops_needed, key=lambda op: op.out not in shared):
            renumber[op.out] = len(renumber)
            ops.append(renumbered(op, renumber.__getitem__, parameter))
        widths = tuple(self._widths[value] for value in renumber)
        shapes = tuple(self._parameter_shapes[index] for index in parameters)
        return Program(widths, tuple(ops), renumber[result], shapes, len(shared)), list(parameters)

    def _gathered(self, rows: Rows) -> int:
        """The value that holds exactly these rows in this order; a gather where none does."""
        owners = np.searchsorted(self._starts, rows, "right") - 1
        inputs = distinct(owners)
        if len(inputs) == 1:
            value = int(inputs[0])
            if len(rows) == self._widths[value] and np.array_equal(rows, self.value(value)):
                return value
        literal = self.literal(rows)
        if literal is not None:
            return self._constant(literal)
        starts = np.cumsum([0, *(self._widths[value] for value in inputs[:-1])])
        position = np.searchsorted(inputs, owners)
        index = starts[position] + rows - np.array(self._starts)[owners]
        key = (tuple(int(v) for v in inputs), integers(index))
        return self._emit(("gather", *key), len(rows), lambda out: Gather(out, *key))

    def _constant(self, values: npt.NDArray[np.float64]) -> int:
        flat = floats(values.ravel())
        return self._emit(("constant", flat), len(flat), lambda out: Constant(out, flat))

    def _emit(self, key: Hashable, width: int, make: Callable[[int], Op]) -> int:
        known = self._known.get(key)
        if known is not None:
            return known
        out = len(self._widths)
        if width == 0:
            raise Unsupported("it uses an empty tensor")
        op = make(out)
        if not isinstance(op, (Parameter, Constant)):
            self._computed += width
        if self._computed > MAX_ROWS:
            raise TooLarge(f"it computes more than {MAX_ROWS} rows for one trajectory")
        self._widths.append(width)
        self._starts.append(self._end)
        self._end += width
        self._ops.append(op)
        self._known[key] = out
        return out


def _shared(ops: Sequence[Op]) -> set[int]:
    """The values computed from time and parameters alone, and the parameters and literals that they read."""
    own = {Y, C}
    for op in ops:
        if not own.isdisjoint(operands(op)):
            own.add(op.out)
    computed = [op for op in ops if operands(op) and op.out not in own]
    return {op.out for op in computed}.union(*map(operands, computed)) - {T}
