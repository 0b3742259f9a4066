"""Interpolants: the solution inside a step, from its states and slopes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

# Coefficients, lowest power first.
Polynomial = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Interpolant:
    """A polynomial in ``x = (t - t0) / dt``: weights of the states and of ``dt`` times the slopes of a step.

    The states are those at its start, its end and its middle, the slopes those at its start and its end.
    """

    name: str
    y0: Polynomial
    y1: Polynomial
    y_mid: Polynomial
    f0: Polynomial
    f1: Polynomial

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        """Fractions of a step: the states there and at the start determine the interpolant."""
        degree = len(self.y0) - 1
        return tuple(i / degree for i in range(1, degree + 1))

    def weights(self) -> dict[str, Polynomial]:
        """The weights by what they are of."""
        return {"y0": self.y0, "y1": self.y1, "y_mid": self.y_mid, "f0": self.f0, "f1": self.f1}


LINEAR = Interpolant("linear", (1, -1), (0, 1), (0, 0), (0, 0), (0, 0))
# Hermite's. On a grid engines evaluate it factored: expanded it rounds otherwise than torchdiffeq.
CUBIC = Interpolant("cubic", (1, 0, -3, 2), (0, 0, 3, -2), (0, 0, 0, 0), (0, 1, -2, 1), (0, 0, -1, 1))
# Shampine, Some Practical Runge-Kutta Formulas, Mathematics of Computation 46, 1986.
QUARTIC = Interpolant(
    "quartic",
    y0=(1, 0, -11, 18, -8),
    y1=(0, 0, -5, 14, -8),
    y_mid=(0, 0, 16, -32, 16),
    f0=(0, 1, -4, 5, -2),
    f1=(0, 0, 1, -3, 2),
)

# Between the points of a grid the user chooses one of these.
ON_GRID = {interpolant.name: interpolant for interpolant in (LINEAR, CUBIC)}
