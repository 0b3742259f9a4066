"""Building a Program from tensors seen as arrays of references to its rows.

A traced tensor is lowered to an integer array of the tensor's own shape, whose entries say which row of which
Program value holds that element. Every view, transpose, slice, stack, broadcast and in-place write then is
numpy indexing, and a ``Gather`` is emitted only where an operation needs rows that do not lie together.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import numpy as np
import numpy.typing as npt
import torch

from flashode.capture.refusal import Refusal
from flashode.program import (
    BINARY,
    UNARY,
    Binary,
    Constant,
    Dense,
    Gather,
    Op,
    Parameter,
    Program,
    SegmentSum,
    Unary,
    operands,
)

Rows = npt.NDArray[np.int64]  # references to rows, of any shape
MAX_ROWS = 1 << 18


class ProgramBuilder:
    """Emits operations; equal ones are emitted once, and unused ones are left out of the finished Program."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._widths = [1, width]
        self._starts = [0, 1]
        self._end = 1 + width
        self._computed = 0
        self._ops: list[Op] = []
        self._parameter_shapes: list[tuple[int, ...]] = []
        self._known: dict[Hashable, int] = {}

    def value(self, value: int) -> Rows:
        """References to all rows of a value."""
        start = self._starts[value]
        return np.arange(start, start + self._widths[value])

    def constant(self, values: npt.NDArray[np.float64]) -> Rows:
        """Literal rows, of the shape given."""
        flat = tuple(float(v) for v in values.ravel())
        # Hexadecimal, because 0.0 and -0.0 are equal keys but different constants.
        key = ("constant", tuple(v.hex() for v in flat))
        return self.value(self._emit(key, len(flat), lambda out: Constant(out, flat))).reshape(values.shape)

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
            result = UNARY[fn].evaluate(torch.tensor(literal, dtype=self._dtype), *constants)
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
        literals = self.literal(left), self.literal(right)
        if literals[0] is not None and literals[1] is not None:
            tensors = [torch.tensor(literal, dtype=self._dtype) for literal in literals]
            result = BINARY[fn](tensors[0], tensors[1])
            return self.constant(result.double().numpy())[inverse].reshape(a.shape)
        sources = self._gathered(left), self._gathered(right)
        out = self._emit((fn, *sources), len(distinct), lambda out: Binary(out, *sources, fn))
        return self.value(out)[inverse].reshape(a.shape)

    def sum_last(self, x: Rows) -> Rows:
        """Sums over the last dimension."""
        if x.shape[-1] == 1:
            return x[..., 0]
        shape = x.shape[:-1]
        count = int(np.prod(shape, dtype=np.int64))
        source = self._gathered(x.ravel())
        segment = tuple(int(i) for i in np.repeat(np.arange(count), x.shape[-1]))
        out = self._emit(("sum", source, segment), count, lambda out: SegmentSum(out, source, segment))
        return self.value(out).reshape(shape)

    def dense(self, x: Rows, weight: int, bias: int | None) -> Rows:
        """Applies a weight to each row of ``x`` (repeats, in_features) → (repeats, out_features)."""
        repeats = x.shape[0]
        features = self._parameter_shapes[weight][0]
        source = self._gathered(x.ravel())
        key = ("dense", source, weight, bias, repeats)
        out = self._emit(key, repeats * features, lambda out: Dense(out, source, weight, bias, repeats))
        return self.value(out).reshape(repeats, features)

    def owner(self, rows: Rows) -> Op | None:
        """The operation whose value holds all of ``rows``; None if it is not one, or an input."""
        owners = np.unique(np.searchsorted(self._starts, rows.ravel(), "right") - 1)
        return self._ops[owners[0] - 2] if len(owners) == 1 and owners[0] >= 2 else None

    def is_static(self, rows: Rows) -> bool:
        """Whether all rows are literals or elements of parameters."""
        owners = np.unique(np.searchsorted(self._starts, rows.ravel(), "right") - 1)
        return all(o >= 2 and isinstance(self._ops[o - 2], (Parameter, Constant)) for o in owners)

    def literal(self, rows: Rows) -> npt.NDArray[np.float64] | None:
        """The numbers that the rows hold, if all of them are literals."""
        owners = np.searchsorted(self._starts, rows.ravel(), "right") - 1
        result = np.empty(rows.size)
        for owner in np.unique(owners):
            op = self._ops[owner - 2] if owner >= 2 else None
            if not isinstance(op, Constant):
                return None
            held = owners == owner
            result[held] = np.array(op.values)[rows.ravel()[held] - self._starts[owner]]
        return result.reshape(rows.shape)

    def starts_at(self, value: int) -> int:
        """The reference to a value's first row."""
        return self._starts[value]

    def finish(self, output: Rows) -> tuple[Program, list[int]]:
        """The Program that computes ``output``, and which of the declared parameters it takes, in order."""
        result = self._gathered(output.ravel())
        needed = {result}
        for op in reversed(self._ops):
            if op.out in needed:
                needed.update(operands(op))
        renumber = {0: 0, 1: 1}
        parameters: dict[int, int] = {}
        ops: list[Op] = []
        for op in self._ops:
            if op.out in needed:
                renumber[op.out] = len(ops) + 2
                ops.append(_renumbered(op, renumber, parameters))
        widths = tuple(self._widths[value] for value in renumber)
        shapes = tuple(self._parameter_shapes[index] for index in parameters)
        return Program(widths, tuple(ops), renumber[result], shapes), list(parameters)

    def _gathered(self, rows: Rows) -> int:
        """The value that holds exactly these rows in this order; a gather where none does."""
        owners = np.searchsorted(self._starts, rows, "right") - 1
        inputs = np.unique(owners)
        if len(inputs) == 1:
            value = int(inputs[0])
            if len(rows) == self._widths[value] and np.array_equal(rows, self.value(value)):
                return value
        starts = np.cumsum([0, *(self._widths[value] for value in inputs[:-1])])
        position = np.searchsorted(inputs, owners)
        index = starts[position] + rows - np.array(self._starts)[owners]
        key = (tuple(int(v) for v in inputs), tuple(int(i) for i in index))
        return self._emit(("gather", *key), len(rows), lambda out: Gather(out, *key))

    def _emit(self, key: Hashable, width: int, make: Callable[[int], Op]) -> int:
        known = self._known.get(key)
        if known is not None:
            return known
        out = len(self._widths)
        if width == 0:
            raise Refusal("it uses an empty tensor")
        op = make(out)
        if not isinstance(op, (Parameter, Constant)):
            self._computed += width
        if self._computed > MAX_ROWS:
            raise Refusal(f"it computes more than {MAX_ROWS} rows for one trajectory")
        self._widths.append(width)
        self._starts.append(self._end)
        self._end += width
        self._ops.append(op)
        self._known[key] = out
        return out


def _renumbered(op: Op, values: dict[int, int], parameters: dict[int, int]) -> Op:
    def parameter(index: int) -> int:
        return parameters.setdefault(index, len(parameters))

    out = values[op.out]
    match op:
        case Dense(x=x, weight=weight, bias=bias, repeats=repeats):
            renumbered = parameter(weight)
            return Dense(out, values[x], renumbered, None if bias is None else parameter(bias), repeats)
        case Gather(inputs=inputs, index=index):
            return Gather(out, tuple(values[value] for value in inputs), index)
        case Unary(x=x, fn=fn, constants=constants):
            return Unary(out, values[x], fn, constants)
        case Binary(a=a, b=b, fn=fn):
            return Binary(out, values[a], values[b], fn)
        case SegmentSum(x=x, segment=segment):
            return SegmentSum(out, values[x], segment)
        case Parameter(parameter=index_):
            return Parameter(out, parameter(index_))
        case Constant(values=literals):
            return Constant(out, literals)
