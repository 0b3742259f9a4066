"""The equations of a method's stages, and the policy of Newton's method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# None, each stage its own, or all of them together.
Equations = Literal["none", "diagonal", "full"]


@dataclass(frozen=True, eq=False)
class Newton:
    """When to stop, and when to evaluate a new Jacobian.

    Iterations go on down to rounding, since gradients take the stages for exact. A correction is the largest
    change of a stage's state.

    Attributes:
        max_iterations: Most iterations for one system of equations.
        roundings: Corrections of this many rounding errors of the state are nothing.
        stagnation: With a new Jacobian a correction below the root of a rounding error is followed by its
            square; one larger than this share of it is rounding, which cancellation between stages raises.
        contraction: A Jacobian serves while each correction is no larger share of the one before: while
            every evaluation gains a digit. A new one costs twice the width of the state.
    """

    max_iterations: int = 100
    roundings: float = 4.0
    stagnation: float = 0.5
    contraction: float = 0.1


NEWTON = Newton()
