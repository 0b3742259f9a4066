"""Between which numbers the rows of a Program lie, as far as its operations say.

It is what tells that an index is within its table, and that a row of the state's dtype can hold an integer.
NaN, which is between no numbers, is left out: whatever has bounds may be NaN as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from flashode.capture.lowering.rows import ProgramBuilder, Rows
from flashode.program import (
    Binary,
    Bucketize,
    Constant,
    Gather,
    Lookup,
    Op,
    Parameter,
    SegmentSum,
    Select,
    Unary,
)

# Integers beyond are not exact in single precision.
_WHOLE = float(1 << 24)
# By how much results may be rounded, generously.
_ROUNDING = 1e-6


class Bounds(NamedTuple):
    """The least number and the greatest, inclusively."""

    least: float
    greatest: float

    def within(self, least: float, greatest: float) -> bool:
        """Whether all of it lies between two numbers."""
        return least <= self.least and self.greatest <= greatest


UNBOUNDED = Bounds(-math.inf, math.inf)
_TRUTH = Bounds(0.0, 1.0)
# That do not decrease.
_MONOTONE: dict[str, Callable[[float], float]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "trunc": math.trunc,
    "detach": float,
    "relu": lambda x: max(x, 0.0),
    "sign": lambda x: float(np.sign(x)),
}


class BoundsOfRows:
    """Finds bounds, once for each value.

    Args:
        program: whose rows they are of.
        of_parameter: those of a parameter that holds integers which do not change.
    """

    def __init__(self, program: ProgramBuilder, of_parameter: Callable[[int], Bounds]) -> None:
        self._program = program
        self._of_parameter = of_parameter
        self._known: dict[int, Bounds] = {}

    def of(self, rows: Rows) -> Bounds:
        """The bounds of rows."""
        literal = self._program.literal(rows)
        if literal is not None:
            return _of_numbers(literal.ravel().tolist())
        return _joined(map(self._of_value, self._program.values_of(rows)))

    def narrow(self, rows: Rows, bounds: Bounds) -> None:
        """Takes rows that are a value of their own for narrower than its operation says."""
        (value,) = self._program.values_of(rows)
        self._known[value] = bounds

    def _of_value(self, value: int) -> Bounds:
        # Operations before, first: a chain of them may be longer than calls may be deep.
        waiting = [] if value in self._known else [value]
        while waiting:
            op = self._program.op_of(waiting[-1])
            missing = [v for v in _bounding(op) if v not in self._known]
            if missing:
                waiting += missing
                continue
            self._known[waiting.pop()] = UNBOUNDED if op is None else _outward(self._of_op(op))
        return self._known[value]

    def _of_op(self, op: Op) -> Bounds:
        of = self._known.__getitem__
        match op:
            case Constant(values=values):
                return _of_numbers(values)
            case Parameter(parameter=parameter):
                return self._of_parameter(parameter)
            case Gather(inputs=inputs):
                return _joined(map(of, inputs))
            case Select(a=a, b=b):
                return _joined((of(a), of(b)))
            case SegmentSum(x=x, segment=segment):
                most = int(np.bincount(np.array(segment)).max())
                return Bounds(min(0.0, most * of(x).least), max(0.0, most * of(x).greatest))
            case Bucketize(knots=knots, parameter=parameter, groups=groups):
                return Bounds(0.0, self._program.size_of(knots, parameter) // groups)
            case Lookup(table=table, parameter=parameter):
                if table is not None:
                    return of(table)
                assert parameter is not None
                return self._of_parameter(parameter)
            case Unary(x=x, fn=fn, constants=constants):
                return _of_unary(fn, constants, of(x))
            case Binary(a=a, b=b, fn=fn):
                return _of_binary(fn, of(a), of(b))
        return UNBOUNDED


def _bounding(op: Op | None) -> tuple[int, ...]:
    """The values whose bounds those of an operation's result follow from."""
    match op:
        case Gather(inputs=inputs):
            return inputs
        case Select(a=a, b=b) | Binary(a=a, b=b):
            return (a, b)
        case SegmentSum(x=x) | Unary(x=x):
            return (x,)
        case Lookup(table=table) if table is not None:
            return (table,)
    return ()


def _of_unary(fn: str, constants: tuple[float, ...], x: Bounds) -> Bounds:
    if fn in _MONOTONE:
        ends = [_MONOTONE[fn](end) if math.isfinite(end) else end for end in x]
        return _TRUTH._replace(least=-1.0) if fn == "sign" else Bounds(*map(float, ends))
    if fn == "affine":
        scale, shift = constants
        return _of_numbers([scale * end + shift for end in x])
    if fn in ("clamp", "hardtanh"):
        low, high = constants
        return Bounds(*[min(max(end, low), high) for end in x])
    if fn == "neg":
        return Bounds(-x.greatest, -x.least)
    if fn == "abs":
        ends = [abs(end) for end in x]
        return Bounds(0.0 if x.least <= 0.0 <= x.greatest else min(ends), max(ends))
    return UNBOUNDED


def _of_binary(fn: str, a: Bounds, b: Bounds) -> Bounds:
    if fn in ("lt", "le", "eq", "ne"):
        return _TRUTH
    if fn == "add":
        return Bounds(a.least + b.least, a.greatest + b.greatest)
    if fn == "sub":
        return Bounds(a.least - b.greatest, a.greatest - b.least)
    if fn == "mul":
        return _of_numbers([x * y for x in a for y in b])
    if fn == "minimum":
        return Bounds(min(a.least, b.least), min(a.greatest, b.greatest))
    if fn == "maximum":
        return Bounds(max(a.least, b.least), max(a.greatest, b.greatest))
    if fn in ("floor_divide", "trunc_divide") and not b.least <= 0.0 <= b.greatest:
        quotients = _of_numbers([x / y for x in a for y in b])
        return _of_unary("floor" if fn == "floor_divide" else "trunc", (), quotients)
    if fn == "remainder":
        return Bounds(min(0.0, b.least), max(0.0, b.greatest))
    if fn == "fmod":
        largest = max(map(abs, b))
        return Bounds(-largest, largest)
    return UNBOUNDED


def _of_numbers(numbers: Iterable[float]) -> Bounds:
    listed = list(numbers)
    return UNBOUNDED if any(map(math.isnan, listed)) else Bounds(min(listed), max(listed))


def _joined(bounds: Iterable[Bounds]) -> Bounds:
    listed = list(bounds)
    return Bounds(min(each.least for each in listed), max(each.greatest for each in listed))


def _outward(bounds: Bounds) -> Bounds:
    """With room for rounding, where they are no integers that every dtype holds."""
    if any(map(math.isnan, bounds)):
        return UNBOUNDED
    exact = [end == round(end) and abs(end) <= _WHOLE if math.isfinite(end) else True for end in bounds]
    return Bounds(
        bounds.least if exact[0] else bounds.least - _ROUNDING * abs(bounds.least),
        bounds.greatest if exact[1] else bounds.greatest + _ROUNDING * abs(bounds.greatest),
    )
