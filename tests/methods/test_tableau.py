"""A tableau refuses to be wrong, and what is derived from it."""

from __future__ import annotations

import importlib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from flashode.methods import METHODS, TABLEAUX, Tableau
from flashode.methods.interpolants import QUARTIC

ALIASES = {"fixed_adams": "implicit_adams"}


def test_names() -> None:
    assert all(ALIASES.get(name, name) == method.name for name, method in METHODS.items())
    assert all(method.source for method in METHODS.values())


def test_every_name_of_torchdiffeq_is_there() -> None:
    assert set(importlib.import_module("torchdiffeq._impl.odeint").SOLVERS) <= set(METHODS)


@pytest.mark.parametrize("name", TABLEAUX)
def test_ends_are_exact(name: str) -> None:
    """Stages at the ends of a step are recognised by c == 0 and c == 1, which must be exactly so."""
    tableau = TABLEAUX[name]
    assert tableau.equations != "none" or tableau.c[0] == 0
    assert all(x in (0, 1) or 1 / 100 < x < 99 / 100 for x in tableau.c)


@pytest.mark.parametrize("name", [name for name, tableau in TABLEAUX.items() if tableau.equations != "none"])
def test_implicit_stages_solve_themselves_or_are_known(name: str) -> None:
    """An explicit stage is one at the start of the step: its row is zero, and its slope that at the start."""
    for i, row in enumerate(TABLEAUX[name].a):
        assert any(row[i:]) or not any(row)


@pytest.mark.parametrize("name", ["adaptive_heun", "fehlberg2", "bosh3", "dopri5", "dopri8"])
def test_agrees_with_torchdiffeq(name: str) -> None:
    solver = importlib.import_module("torchdiffeq._impl.odeint").SOLVERS[name]
    ours = TABLEAUX[name].floats()
    theirs = solver.tableau
    assert solver.order == TABLEAUX[name].order
    assert ours.c[1:] == pytest.approx(theirs.alpha.tolist(), abs=1e-15)
    for mine, row in zip(ours.a[1:], theirs.beta, strict=True):
        assert mine == pytest.approx(row.tolist(), rel=1e-15, abs=1e-15)
    assert ours.b == pytest.approx(theirs.c_sol.tolist(), abs=1e-15)
    assert ours.b_error == pytest.approx(theirs.c_error.tolist(), abs=1e-15)
    assert ours.b_mid == pytest.approx(solver.mid.tolist(), abs=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a": TABLEAUX["rk4"].a[:-1]}, "same number of stages"),
        ({"a": ((), (Fraction(1, 3),), (Fraction(2, 3),), TABLEAUX["rk4"].a[3])}, "row 2 of a must have 2"),
        ({"c": (Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(1))}, "row 2 of a must sum"),
        ({"b": (Fraction(1, 4),) * 3 + (Fraction(1, 8),)}, "b must sum to 1"),
        ({"b_mid": (Fraction(1, 8),) * 4}, "go together"),
        ({"interpolant": QUARTIC}, "go together"),
        ({"b_error": (Fraction(0),) * 3}, "b_error must have 4"),
        ({"b_error": (Fraction(1),) * 4}, "b_error must sum to 0"),
        ({"interpolant": QUARTIC, "b_mid": (Fraction(1, 4),) * 4}, "b_mid must sum to 1/2"),
    ],
)
def test_wrong_tableau_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TABLEAUX["rk4"], **change)


def test_floats_are_made_once() -> None:
    tableau: Tableau = TABLEAUX["dopri5"]
    assert tableau.floats() is tableau.floats()
