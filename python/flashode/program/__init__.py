"""The Program: a vector field as a short list of row operations, neutral between engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from flashode.program.functions import ARITHMETIC, BINARY, SLOPE_BY_VALUE, UNARY
from flashode.program.interpretation import interpret
from flashode.program.operations import Operations
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
    renumbered,
)
from flashode.program.ops import (
    parameters as read_parameters,
)
from flashode.program.packed import floats, integers
from flashode.program.printing import format_body, format_program
from flashode.program.reach import Reach, learned_by, passed_to, reach

__all__ = [
    "ARITHMETIC",
    "BINARY",
    "INPUTS",
    "SLOPE_BY_VALUE",
    "UNARY",
    "Binary",
    "Bucketize",
    "C",
    "Constant",
    "Dense",
    "DenseDynamic",
    "Gather",
    "Lookup",
    "Op",
    "Parameter",
    "Program",
    "Reach",
    "SegmentSum",
    "Select",
    "T",
    "Unary",
    "Y",
    "floats",
    "format_body",
    "integers",
    "learned_by",
    "operands",
    "passed_to",
    "read_parameters",
    "renumbered",
]


@dataclass(frozen=True)
class Program(Operations):
    """A vector field ``dy/dt = f(t, y, c)`` of one trajectory."""

    def __str__(self) -> str:
        return format_program(self)

    def reach(self) -> Reach:
        """The parameters, and the rows of c, that a gradient in dy/dt reaches.

        It does not reach what only ``detach``, comparisons and conditions read.
        """
        return reach(self)

    def interpret(
        self, t: Tensor, y: Tensor, parameters: Sequence[Tensor] = (), c: Tensor | None = None
    ) -> Tensor:
        """Evaluates the field slowly in plain torch.

        Differentiable any number of times in every argument; any floating dtype.

        Args:
            t: time, 0-d or one for each trajectory, shape ``(...)``.
            y: states, shape ``(..., D)``.
            parameters: one tensor for each of ``parameter_shapes``.
            c: what belongs to each trajectory, shape ``(..., C)``; may be left out where that has no width.

        Returns:
            dy/dt, shape ``(..., D)``.

        Raises:
            ValueError: a shape does not fit the Program.
        """
        return interpret(self, t, y, parameters, c)
