"""A tableau refuses to be wrong, and what is derived from it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from fractions import Fraction

import pytest

from flashode.methods import METHODS, Tableau

FSAL = {"bosh3", "dopri5", "tsit5", "dopri8"}


def test_names() -> None:
    assert all(name == tableau.name for name, tableau in METHODS.items())
    assert all(tableau.source for tableau in METHODS.values())


@pytest.mark.parametrize("name", METHODS)
def test_first_same_as_last(name: str) -> None:
    assert METHODS[name].fsal == (name in FSAL)


@pytest.mark.parametrize("name", METHODS)
def test_ends_are_exact(name: str) -> None:
    """Stages at the end of a step are recognised by c == 1, so a c that should be 1 must be exactly 1."""
    c = METHODS[name].c
    assert c[0] == 0
    assert all(x == 1 or abs(x - 1) > Fraction(1, 100) for x in c)


@pytest.mark.parametrize("name", ["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"])
def test_agrees_with_torchdiffeq(name: str) -> None:
    solver = importlib.import_module("torchdiffeq._impl.odeint").SOLVERS[name]
    ours = METHODS[name].floats()
    theirs = solver.tableau
    assert solver.order == METHODS[name].order
    assert ours.c[1:] == pytest.approx(theirs.alpha.tolist(), abs=1e-15)
    for mine, row in zip(ours.a[1:], theirs.beta, strict=True):
        assert mine == pytest.approx(row.tolist(), rel=1e-15, abs=1e-15)
    assert ours.b == pytest.approx(theirs.c_sol.tolist(), abs=1e-15)
    assert ours.b_error == pytest.approx(theirs.c_error.tolist(), abs=1e-15)
    assert ours.b_mid == pytest.approx(solver.mid.tolist(), abs=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": METHODS["rk4"].a[:-1]}, "same number of stages"),
        ({"a": ((), (Fraction(1, 3),), (Fraction(2, 3),), METHODS["rk4"].a[3])}, "row 2 of a must have 2"),
        ({"c": (Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(1))}, "row 2 of a must sum"),
        ({"b": (Fraction(1, 4),) * 3 + (Fraction(1, 8),)}, "b must sum to 1"),
        ({"b_error": (Fraction(0),) * 4}, "go together"),
        ({"b_error": (Fraction(0),) * 3, "b_mid": (Fraction(1, 8),) * 4}, "b_error must have 4"),
        ({"b_error": (Fraction(1),) * 4, "b_mid": (Fraction(1, 8),) * 4}, "b_error must sum to 0"),
        ({"b_error": (Fraction(0),) * 4, "b_mid": (Fraction(1, 4),) * 4}, "b_mid must sum to 1/2"),
    ],
)
def test_wrong_tableau_is_refused(change: dict[str, tuple[Fraction, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(METHODS["rk4"], **change)


def test_floats_are_made_once() -> None:
    tableau: Tableau = METHODS["dopri5"]
    assert tableau.floats() is tableau.floats()
