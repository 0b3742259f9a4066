"""What each interpolant goes through, and the order of what it makes of a method's stages, exactly."""

from __future__ import annotations

from fractions import Fraction

import pytest

from flashode.methods import TABLEAUX, Tableau
from flashode.methods.interpolants import CUBIC, LINEAR, QUARTIC, Interpolant, Polynomial
from rooted_trees import APPROXIMATE, residuals

HALF = Fraction(1, 2)
# Where each weight is one: of the value there, or of the slope.
DATA = {"y0": (0, 0), "y_mid": (HALF, 0), "y1": (1, 0), "f0": (0, 1), "f1": (1, 1)}
THROUGH = {LINEAR: ("y0", "y1"), CUBIC: ("y0", "y1", "f0", "f1"), QUARTIC: tuple(DATA)}
# The order inside a step. The middles of the first three are torchdiffeq's.
ORDERS = {"adaptive_heun": 1, "fehlberg2": 1, "bosh3": 1, "dopri5": 4, "tsit5": 4, "dopri8": 4}
# More than twice as many as a quartic, and what it is compared with, have coefficients.
INSIDE = [Fraction(i, 13) for i in range(1, 13)]


def at(polynomial: Polynomial, x: Fraction, derivative: int = 0) -> Fraction:
    if derivative:
        polynomial = tuple(n * c for n, c in enumerate(polynomial))[1:]
    return sum((c * x**n for n, c in enumerate(polynomial)), Fraction(0))


@pytest.mark.parametrize("interpolant", THROUGH, ids=lambda interpolant: interpolant.name)
def test_goes_through_its_data(interpolant: Interpolant) -> None:
    for name, weight in interpolant.weights().items():
        for other in THROUGH[interpolant]:
            x, derivative = DATA[other]
            assert at(weight, Fraction(x), derivative) == (name == other and name in THROUGH[interpolant])
    assert all(len(weight) == len(THROUGH[interpolant]) for weight in interpolant.weights().values())


@pytest.mark.parametrize(("interpolant", "degree"), [(LINEAR, 1), (CUBIC, 3), (QUARTIC, 4)])
def test_fractions_are_equally_spaced(interpolant: Interpolant, degree: int) -> None:
    assert interpolant.fractions == tuple(i / degree for i in range(1, degree + 1))


def stage_weights(tableau: Tableau, x: Fraction) -> tuple[Fraction, ...]:
    """The polynomials b_i at x, with ``y(t0 + x dt) = y0 + dt * sum_i b_i(x) k[i]``."""
    through = tableau.interpolant
    assert tableau.b_mid is not None
    y1, y_mid = at(through.y1, x), at(through.y_mid, x)
    weights = [y1 * b + y_mid * middle for b, middle in zip(tableau.b, tableau.b_mid, strict=True)]
    weights[0] += at(through.f0, x)
    weights[-1] += at(through.f1, x)
    return tuple(weights)


@pytest.mark.parametrize("name", ORDERS)
def test_order_inside_a_step(name: str) -> None:
    tableau, order = TABLEAUX[name], ORDERS[name]
    tolerance = max(APPROXIMATE.get(name, (0, 1e-18)))
    for x in INSIDE:
        weights = stage_weights(tableau, x)
        for n in range(1, order + 1):
            assert max(map(abs, residuals(tableau, weights, n, x))) <= tolerance, f"order {n} at {x}"
        assert max(map(abs, residuals(tableau, weights, order + 1, x))) > 1e-7, f"order {order + 1} holds too"


def test_every_method_with_a_middle_is_covered() -> None:
    assert set(ORDERS) == {name for name, tableau in TABLEAUX.items() if tableau.interpolant is QUARTIC}
