"""The row operations a Program is made of.

Values are numbered and each operation writes one new value, its ``out``. A value is a flat row of scalars,
one row for each trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flashode.program.packed import floats, integers

# The values that a Program starts from; its operations write the ones after these.
T, Y, C = range(3)
INPUTS = 3


@dataclass(frozen=True)
class Dense:
    """``out[r] = weight @ x[r] + bias`` for each of ``repeats`` consecutive groups ``r`` of ``x``.

    ``weight`` is the index of a contiguous ``(out_features, in_features)`` parameter, ``bias`` of an
    ``(out_features,)`` one, or None.
    """

    out: int
    x: int
    weight: int
    bias: int | None
    repeats: int


@dataclass(frozen=True)
class DenseDynamic:
    """``out[b, r] = weight[b] @ x[b, r]``: products with ``blocks`` matrices that are computed themselves.

    Widths: ``x`` blocks * repeats * in_features, ``weight`` blocks * out_features * in_features.
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
class Bucketize:
    """``out[g, i]``: how many of the ascending knots of group ``g`` lie before ``x[g, i]``.

    Knots equal to it do not count, with ``right`` they do; before NaN lie all of them. What it counts is what
    torch's binary search finds, also where knots do not ascend. It has no gradient.

    The knots are a value, or else a parameter: ``groups`` times as many for each of as many equal parts of x.
    """

    out: int
    x: int
    knots: int | None
    parameter: int | None
    groups: int
    right: bool


@dataclass(frozen=True)
class Lookup:
    """``out[r, j] = table[starts[r, j] + stride * index[r]]``: rows of a table at computed indices.

    An index from zero to ``count``, exclusively, names a row, and has no gradient; any other gives NaN. The
    table is a value, or else a parameter, which is read in place and gets its gradient there.
    """

    out: int
    index: int
    table: int | None
    parameter: int | None
    starts: Sequence[int]
    stride: int
    count: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts", integers(self.starts))

    def reads(self) -> NDArray[np.int64]:
        """The elements of the table that may be read."""
        return np.unique(np.add.outer(np.array(self.starts), self.stride * np.arange(self.count)))


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


Op = (
    Dense
    | DenseDynamic
    | Gather
    | Unary
    | Binary
    | Select
    | SegmentSum
    | Bucketize
    | Lookup
    | Parameter
    | Constant
)


# Of each kind of operation, the fields that name values and those that name parameters; None names none.
_VALUES: dict[type, tuple[str, ...]] = {
    Dense: ("x",),
    DenseDynamic: ("x", "weight"),
    Unary: ("x",),
    Binary: ("a", "b"),
    Select: ("condition", "a", "b"),
    SegmentSum: ("x",),
    Bucketize: ("x", "knots"),
    Lookup: ("index", "table"),
}
_PARAMETERS: dict[type, tuple[str, ...]] = {
    Dense: ("weight", "bias"),
    Bucketize: ("parameter",),
    Lookup: ("parameter",),
    Parameter: ("parameter",),
}


def operands(op: Op) -> tuple[int, ...]:
    """The values that ``op`` reads."""
    return op.inputs if isinstance(op, Gather) else _named(op, _VALUES)


def parameters(op: Op) -> tuple[int, ...]:
    """The parameters that ``op`` reads."""
    return _named(op, _PARAMETERS)


def _named(op: Op, names: dict[type, tuple[str, ...]]) -> tuple[int, ...]:
    indices = [getattr(op, name) for name in names.get(type(op), ())]
    return tuple([index for index in indices if index is not None])


def renumbered(op: Op, value: Callable[[int], int], parameter: Callable[[int], int]) -> Op:
    """The same operation on values and parameters of other numbers."""
    fields: dict[str, Any] = {"out": value(op.out)}
    for names, number in ((_VALUES, value), (_PARAMETERS, parameter)):
        for name in names.get(type(op), ()):
            index = getattr(op, name)
            fields[name] = None if index is None else number(index)
    if isinstance(op, Gather):
        fields["inputs"] = tuple(map(value, op.inputs))
    return replace(op, **fields)
