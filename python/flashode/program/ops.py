"""The row operations a Program is made of.

Values are numbered and each operation writes one new value, its ``out``. A value is a flat row of scalars,
one row for each trajectory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flashode.program.packed import floats, integers

# The values that a Program starts from; its operations write the ones after these.
T, Y, C = range(3)
INPUTS = 3


@dataclass(frozen=True)
class Dense:
    """``out[r] = weight @ x[r] + bias`` for each of ``repeats`` consecutive groups ``r`` of ``x``.

    Attributes:
        out: value written, width ``repeats * out_features``.
        x: value read, width ``repeats * in_features``.
        weight: parameter index of a contiguous ``(out_features, in_features)`` tensor.
        bias: parameter index of an ``(out_features,)`` tensor, or None.
        repeats: how many groups share the weight.
    """

    out: int
    x: int
    weight: int
    bias: int | None
    repeats: int


@dataclass(frozen=True)
class DenseDynamic:
    """``out[b, r] = weight[b] @ x[b, r]``: products with matrices that are computed themselves.

    Attributes:
        out: value written, width ``blocks * repeats * out_features``.
        x: value read, width ``blocks * repeats * in_features``.
        weight: value read, width ``blocks * out_features * in_features``.
        blocks: how many matrices there are.
        repeats: how many consecutive groups of ``x`` share a matrix.
    """

    out: int
    x: int
    weight: int
    blocks: int
    repeats: int


@dataclass(frozen=True)
class Gather:
    """``out[i] = concatenation(inputs)[index[i]]``: slices, stacks, transposes and broadcasts."""

    out: int
    inputs: tuple[int, ...]
    index: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "index", integers(self.index))


@dataclass(frozen=True)
class Unary:
    """``out[i] = fn(x[i], *constants)``, with ``fn`` a name in ``UNARY``."""

    out: int
    x: int
    fn: str
    constants: tuple[float, ...] = ()


@dataclass(frozen=True)
class Binary:
    """``out[i] = fn(a[i], b[i])``, with ``fn`` a name in ``BINARY`` and equal widths."""

    out: int
    a: int
    b: int
    fn: str


@dataclass(frozen=True)
class Select:
    """``out[i] = a[i] if condition[i] else b[i]``; all but zero holds. The condition has no gradient."""

    out: int
    condition: int
    a: int
    b: int


@dataclass(frozen=True)
class SegmentSum:
    """``out[segment[i]] += x[i]`` from zero: sums over groups of rows."""

    out: int
    x: int
    segment: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "segment", integers(self.segment))


@dataclass(frozen=True)
class Parameter:
    """A parameter's elements, flattened row-major, the same for each trajectory."""

    out: int
    parameter: int


@dataclass(frozen=True)
class Constant:
    """Literal rows, the same for each trajectory."""

    out: int
    values: Sequence[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", floats(self.values))


Op = Dense | DenseDynamic | Gather | Unary | Binary | Select | SegmentSum | Parameter | Constant


def operands(op: Op) -> tuple[int, ...]:
    """The values that ``op`` reads."""
    match op:
        case Dense(x=x) | Unary(x=x) | SegmentSum(x=x):
            return (x,)
        case DenseDynamic(x=x, weight=weight):
            return (x, weight)
        case Binary(a=a, b=b):
            return (a, b)
        case Select(condition=condition, a=a, b=b):
            return (condition, a, b)
        case Gather(inputs=inputs):
            return inputs
        case Parameter() | Constant():
            return ()
