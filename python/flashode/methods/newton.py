"""Which equations the stages of a method solve, and how Newton's method goes about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# "none": the stages are explicit; "diagonal": each in turn depends on itself; "full": they depend on each
# other, and are solved for together.
Equations = Literal["none", "diagonal", "full"]


@dataclass(frozen=True, eq=False)
class Newton:
    """When an iteration of Newton's method is the last one, and when it has a new Jacobian.

    It stops where rounding does: gradients take the stages for exact solutions. Sizes are largest elements;
    an iteration's correction is measured in the states of the stages.

    Attributes:
        max_iterations: Most iterations for one system of equations.
        roundings: Corrections no larger than this many rounding errors of the state are nothing.
        stagnation: With a new Jacobian a correction below the root of a rounding error is followed by its
            square. One that is larger than this share of the one before is rounding, which cancellation
            between stages raises above that of the state.
        contraction: A Jacobian is kept as long as each correction is no larger than this share of the one
            before: while every evaluation gains a digit. A new one costs twice the width of the state.
    """

    max_iterations: int = 100
    roundings: float = 4.0
    stagnation: float = 0.5
    contraction: float = 0.1


NEWTON = Newton()
