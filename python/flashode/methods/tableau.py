"""Butcher tableaux: what one is, and how one is written.

Conventions. A step from ``(t0, y0)`` with size ``dt`` computes the stages
``k[i] = f(t0 + c[i] dt, y0 + dt * sum_j a[i][j] k[j])`` and then ``y1 = y0 + dt * sum_i b[i] k[i]``. A
method that chooses its steps also has ``b_error``, whose combination ``dt * sum_i b_error[i] k[i]`` is the
difference between the solution and the embedded one. One with the quartic interpolant has ``b_mid``, with
``y(t0 + dt/2) ~ y0 + dt * sum_i b_mid[i] k[i]``.

Irrational coefficients are rational numbers that agree with them to forty digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isqrt

from flashode.methods.control import FIRST_STEP, Control, FirstStep
from flashode.methods.interpolants import LINEAR, QUARTIC, Interpolant
from flashode.methods.newton import NEWTON, Equations, Newton

Row = tuple[Fraction, ...]

# Prince and Dormand publish 18-digit rational approximations; every other method has row sums exact far
# beyond this.
_ROW_SUM_TOLERANCE = Fraction(1, 10**15)


@dataclass(frozen=True)
class FloatTableau:
    """A tableau rounded to double precision, for engines that compute."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    b_error: tuple[float, ...]  # empty where a grid gives the steps
    b_mid: tuple[float, ...]  # empty where the interpolant knows no middle


# Compared and hashed by identity: hashing a hundred fractions costs more than a solve.
@dataclass(frozen=True, eq=False)
class Tableau:
    """A Runge-Kutta method.

    Attributes:
        name: The name it is called by.
        order: Order of the propagated solution; also the order in the step-size formula.
        a: Row i has i entries; in an implicit method each has as many as there are stages.
        b: Weights of the propagated solution.
        c: Abscissae.
        b_error: Weights of the error estimate, or None where a grid gives the steps.
        b_mid: Weights of the solution at the middle of the step, or None where the interpolant knows none.
        source: Where the coefficients were published.
        interpolant: Inside a step; between the points of a grid, that of the default options.
        first_step: How the size of the first step is chosen.
        newton: How the equations of the stages are solved.

    Raises:
        ValueError: If the shapes do not fit or the rows of ``a`` do not sum to ``c``.
    """

    name: str
    order: int
    a: tuple[Row, ...]
    b: Row
    c: Row
    b_error: Row | None
    b_mid: Row | None
    source: str
    interpolant: Interpolant = LINEAR
    first_step: FirstStep = FIRST_STEP
    newton: Newton = NEWTON

    def __post_init__(self) -> None:
        stages = len(self.b)
        if not len(self.a) == len(self.c) == stages > 0:
            raise ValueError(f"tableau {self.name}: a, b and c must have the same number of stages")
        if (self.b_mid is None) == any(self.interpolant.y_mid):
            raise ValueError(f"tableau {self.name}: b_mid and an interpolant through the middle go together")
        sums = (("b", self.b, "1"), ("b_error", self.b_error, "0"), ("b_mid", self.b_mid, "1/2"))
        rows = [(name, entries, stages, Fraction(to)) for name, entries, to in sums if entries is not None]
        for i, (entries, c) in enumerate(zip(self.a, self.c, strict=True)):
            rows.append((f"row {i} of a", entries, stages if self.a[0] else i, c))
        for label, entries, count, total in rows:
            if len(entries) != count:
                raise ValueError(f"tableau {self.name}: {label} must have {count} entries")
            if abs(sum(entries, Fraction(0)) - total) > _ROW_SUM_TOLERANCE:
                raise ValueError(f"tableau {self.name}: {label} must sum to {total}")

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.b)

    @cached_property
    def equations(self) -> Equations:
        """Which equations the stages solve."""
        if not self.a[0]:
            return "none"
        coupled = any(any(row[i + 1 :]) for i, row in enumerate(self.a))
        return "full" if coupled else "diagonal"

    @cached_property
    def control(self) -> Control:
        """Who chooses the steps."""
        return "fixed" if self.b_error is None else "error"

    @cached_property
    def fsal(self) -> bool:
        """Whether the first stage is evaluated at the start of the step and the last at the new solution."""
        last = (*self.a[-1], *[Fraction(0)] * (self.stages - len(self.a[-1])))
        return self.b == last and not any(self.a[0])

    @cached_property
    def carried(self) -> bool:
        """Whether the last stage is the first of the next step: in methods that choose their steps, and
        in explicit ones, as torchdiffeq has it, even if it is not evaluated at the new solution.
        """
        return self.control == "error" and (self.fsal or self.equations == "none")

    @cached_property
    def _floats(self) -> FloatTableau:
        return FloatTableau(
            a=tuple(tuple(map(float, entries)) for entries in self.a),
            b=tuple(map(float, self.b)),
            c=tuple(map(float, self.c)),
            b_error=tuple(map(float, self.b_error or ())),
            b_mid=tuple(map(float, self.b_mid or ())),
        )

    def floats(self) -> FloatTableau:
        """The tableau rounded to double precision."""
        return self._floats


def row(text: str) -> Row:
    """Exact values of blank-separated integers, quotients and decimals."""
    return tuple(Fraction(word) for word in text.split())


def root(n: int) -> Fraction:
    """The square root of ``n`` to forty digits."""
    return Fraction(isqrt(n * 10**80), 10**40)


def minus(x: Row, y: Row) -> Row:
    """The difference of two rows."""
    return tuple(p - q for p, q in zip(x, y, strict=True))


def tableau(
    name: str,
    order: int,
    rows: tuple[str | Row, ...],
    b: str | Row,
    source: str,
    embedded: str | None = None,
    b_mid: Row | None = None,
    c: str | None = None,
) -> Tableau:
    """A tableau from its rows, written as :func:`row` reads them; ``c`` defaults to their sums."""
    a = tuple(row(written) if isinstance(written, str) else written for written in rows)
    weights = row(b) if isinstance(b, str) else b
    return Tableau(
        name=name,
        order=order,
        a=a,
        b=weights,
        c=tuple(sum(entries, Fraction(0)) for entries in a) if c is None else row(c),
        b_error=None if embedded is None else minus(weights, row(embedded)),
        b_mid=b_mid,
        source=source,
        interpolant=LINEAR if b_mid is None else QUARTIC,
    )
