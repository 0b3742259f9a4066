"""The row operations a Program is made of.

Values are numbered and each operation writes one new value, its ``out``. A value is a flat row of scalars,
one row for each trajectory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

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


# Of each kind of operation, the fields that name values and those that name parameters.
_VALUES: dict[type, tuple[str, ...]] = {
    Dense: ("x",),
    DenseDynamic: ("x", "weight"),
    Unary: ("x",),
    Binary: ("a", "b"),
    Select: ("condition", "a", "b"),
    SegmentSum: ("x",),
}
_PARAMETERS: dict[type, tuple[str, ...]] = {Dense: ("weight", "bias"), Parameter: ("parameter",)}


def operands(op: Op) -> tuple[int, ...]:
    """The values that ``op`` reads."""
    if isinstance(op, Gather):
        return op.inputs
    return tuple([getattr(op, name) for name in _VALUES.get(type(op), ())])


def parameters(op: Op) -> tuple[int, ...]:
    """The parameters that ``op`` reads."""
    indices = [getattr(op, name) for name in _PARAMETERS.get(type(op), ())]
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
