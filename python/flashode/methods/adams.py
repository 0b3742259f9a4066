"""Adams methods: the new state from the slopes at earlier grid points."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from flashode.methods.control import Control
from flashode.methods.interpolants import LINEAR, Interpolant
from flashode.methods.newton import Equations
from flashode.methods.tableau import Row

# The most earlier slopes for which the predictor is still worth its rounding, as torchdiffeq has it.
MAX_ORDER = 12
# Most iterations of the implicit formula for one step.
MAX_ITERATIONS = 4
# With fewer earlier slopes than this a step is taken by the 3/8 rule.
LEAST_SLOPES = 3


@dataclass(frozen=True, eq=False)
class Adams:
    """An Adams method, whose order grows with the steps on a grid; its formulas are those for equal steps."""

    name: str
    corrects: bool  # the prediction, by functional iteration
    source: str  # where it was published
    # As of a tableau; of no stages there are no equations.
    control: Control = "fixed"
    equations: Equations = "none"
    interpolant: Interpolant = LINEAR


@cache
def bashforth(slopes: int) -> Row:
    """Weights of that many slopes, the latest first, in the explicit formula: of order ``slopes``."""
    return _integrals(tuple(range(0, -slopes, -1)))


@cache
def moulton(slopes: int) -> Row:
    """Weights of the slope at the new time and of ``slopes - 1`` earlier ones, the latest first."""
    return _integrals(tuple(range(1, 1 - slopes, -1)))


def _integrals(nodes: tuple[int, ...]) -> Row:
    """The integrals over [0, 1] of the Lagrange polynomials on the nodes."""
    return tuple(_integral([x for x in nodes if x != node], node) for node in nodes)


def _integral(zeros: list[int], one: int) -> Fraction:
    """The integral over [0, 1] of the polynomial with these zeros that is 1 at ``one``."""
    coefficients = [Fraction(1)]  # lowest power first
    for zero in zeros:
        scale = Fraction(1, one - zero)
        shifted = [Fraction(0), *coefficients]
        constant = [*(-zero * c for c in coefficients), Fraction(0)]
        coefficients = [scale * (s + c) for s, c in zip(shifted, constant, strict=True)]
    return sum((c / (power + 1) for power, c in enumerate(coefficients)), Fraction(0))


_SOURCE = "Adams in Bashforth and Adams, Capillary Action, 1883"
EXPLICIT_ADAMS = Adams("explicit_adams", False, _SOURCE)
IMPLICIT_ADAMS = Adams(
    "implicit_adams", True, f"{_SOURCE}; Moulton, New Methods in Exterior Ballistics, 1926"
)
