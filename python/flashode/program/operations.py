"""The operations of a Program, checked when they are put together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flashode.program.ops import (
    INPUTS,
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
    SegmentSum,
    Select,
    T,
    Unary,
    Y,
    operands,
)
from flashode.program.validation import check_op


@dataclass(frozen=True)
class Operations:
    """What a Program is made of: operations on flat rows.

    Value 0 is ``t`` (width 1), value 1 is ``y`` (width D), value 2 is ``c`` (any width): what belongs to the
    trajectory and does not change during a solve. Operation ``i`` writes value ``i + 3``.
    Immutable, hashable and compared by content.

    Attributes:
        widths: the width of every value.
        ops: the operations, in order of evaluation.
        output: the value that holds dy/dt, of the width of ``y``.
        parameter_shapes: the shapes of the external tensors that are read afresh at every solve.
        shared: how many operations, the first ones, read neither ``y`` nor ``c``, nor what depends on them:
            their results are the same for all trajectories.

    Raises:
        ValueError: on construction, when an operation is malformed.
    """

    widths: tuple[int, ...]
    ops: tuple[Op, ...]
    output: int
    parameter_shapes: tuple[tuple[int, ...], ...] = ()
    shared: int = 0

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.ops) + INPUTS:
            raise ValueError(f"{len(self.ops)} operations need three more widths, given {len(self.widths)}")
        if self.widths[T] != 1 or self.widths[C] < 0 or min(self.widths[:C] + self.widths[INPUTS:]) < 1:
            raise ValueError(f"t has width 1 and no value but c is empty, given widths {self.widths}")
        if not 0 <= self.shared <= len(self.ops):
            raise ValueError(f"{self.shared} of {len(self.ops)} operations are shared")
        for position, op in enumerate(self.ops):
            if op.out != position + INPUTS:
                raise ValueError(f"operation {position} must write value {position + INPUTS}: {op}")
            check_op(op, self.widths, self.parameter_shapes)
            if position < self.shared and not {Y, C}.isdisjoint(operands(op)):
                raise ValueError(f"{op} is shared by all trajectories, and reads one's own rows")
        if not 0 <= self.output < len(self.widths):
            raise ValueError(f"the output is value {self.output} of {len(self.widths)}")
        if self.widths[self.output] != self.widths[Y]:
            raise ValueError(f"dy/dt has width {self.widths[self.output]}, y has {self.widths[Y]}")

    def flops(self, trajectories: int = 1) -> int:
        """Floating-point operations of one evaluation of so many trajectories.

        A multiply-add counts two, any other arithmetic or element-wise function one, a comparison
        of a search one, a gather none. What is shared counts once for all of them.
        """
        shared = sum(map(self._flops, self.ops[: self.shared]))
        return shared + trajectories * sum(map(self._flops, self.ops[self.shared :]))

    def _flops(self, op: Op) -> int:
        match op:
            case Dense(out=out, weight=weight):
                in_features = self.parameter_shapes[weight][1]
                return 2 * in_features * self.widths[out]
            case DenseDynamic(out=out, x=x, blocks=blocks, repeats=repeats):
                in_features = self.widths[x] // (blocks * repeats)
                return 2 * in_features * self.widths[out]
            case Unary(out=out) | Binary(out=out) | Select(out=out):
                return self.widths[out]
            case SegmentSum(x=x):
                return self.widths[x]
            case Bucketize(out=out, knots=knots, parameter=parameter, groups=groups):
                return self.widths[out] * (self._size(knots, parameter) // groups).bit_length()
            case Gather() | Lookup() | Parameter() | Constant():
                return 0

    def _size(self, value: int | None, parameter: int | None) -> int:
        """Elements of what is a value, or else a parameter."""
        if value is not None:
            return self.widths[value]
        assert parameter is not None
        return math.prod(self.parameter_shapes[parameter])
