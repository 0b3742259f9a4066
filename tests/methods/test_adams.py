"""The weights of the Adams formulas."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from fractions import Fraction

import pytest

from flashode.methods import METHODS
from flashode.methods.adams import LEAST_SLOPES, MAX_ORDER, bashforth, moulton
from flashode.methods.tableau import Row

FORMULAS = [(bashforth, 0), (moulton, 1)]


@pytest.mark.parametrize(("weights", "latest"), FORMULAS)
@pytest.mark.parametrize("slopes", range(1, MAX_ORDER + 1))
def test_order(weights: Callable[[int], Row], latest: int, slopes: int) -> None:
    """Exact for slopes that are polynomials of degree below their number, and for no others."""
    row = weights(slopes)
    assert len(row) == slopes
    nodes = range(latest, latest - slopes, -1)
    for degree in range(slopes + 1):
        integral = sum((w * x**degree for w, x in zip(row, nodes, strict=True)), Fraction(0))
        assert (integral == Fraction(1, degree + 1)) == (degree < slopes)


@pytest.mark.parametrize(
    ("weights", "table"), [(bashforth, "_BASHFORTH_DIVISOR"), (moulton, "_MOULTON_DIVISOR")]
)
def test_agrees_with_torchdiffeq(weights: Callable[[int], Row], table: str) -> None:
    theirs = getattr(importlib.import_module("torchdiffeq._impl.fixed_adams"), table)
    for slopes in range(LEAST_SLOPES, MAX_ORDER + 1):  # those that are used
        assert [float(w) for w in weights(slopes)] == pytest.approx(theirs[slopes].tolist(), rel=1e-15)


def test_alias() -> None:
    assert METHODS["fixed_adams"] is METHODS["implicit_adams"]
