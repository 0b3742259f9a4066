"""Every tableau satisfies the order conditions of every rooted tree up to its order, and no more."""

from __future__ import annotations

from fractions import Fraction

import pytest

from flashode.methods import TABLEAUX, Tableau
from rooted_trees import APPROXIMATE, residuals, trees

# The order of the embedded solution and of the value in the middle of the step.
EMBEDDED = {"adaptive_heun": 1, "fehlberg2": 1, "bosh3": 2, "dopri5": 4, "tsit5": 4, "dopri8": 7}
MIDDLE = {"adaptive_heun": 1, "fehlberg2": 1, "bosh3": 1, "dopri5": 4, "tsit5": 4, "dopri8": 5}


def check(tableau: Tableau, weights: tuple[Fraction, ...], order: int, x: Fraction, tolerance: float) -> None:
    for n in range(1, order + 1):
        assert max(map(abs, residuals(tableau, weights, n, x))) <= tolerance, f"order {n}"
    assert max(map(abs, residuals(tableau, weights, order + 1, x))) > 1e-6, f"order {order + 1} holds too"


def test_tree_counts() -> None:
    # Sloane's A000081.
    assert [len(trees(n)) for n in range(1, 10)] == [1, 1, 2, 4, 9, 20, 48, 115, 286]


@pytest.mark.parametrize("name", TABLEAUX)
def test_solution(name: str) -> None:
    tableau = TABLEAUX[name]
    check(tableau, tableau.b, tableau.order, Fraction(1), APPROXIMATE.get(name, (0, 0))[0])


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_solution(name: str) -> None:
    tableau = TABLEAUX[name]
    assert tableau.b_error is not None
    embedded = tuple(b - e for b, e in zip(tableau.b, tableau.b_error, strict=True))
    check(tableau, embedded, EMBEDDED[name], Fraction(1), APPROXIMATE.get(name, (0, 0))[0])


@pytest.mark.parametrize("name", MIDDLE)
def test_middle_of_the_step(name: str) -> None:
    tableau = TABLEAUX[name]
    assert tableau.b_mid is not None
    check(tableau, tableau.b_mid, MIDDLE[name], Fraction(1, 2), APPROXIMATE.get(name, (0, 1e-18))[1])


def test_every_adaptive_method_is_covered() -> None:
    adaptive = {name for name, tableau in TABLEAUX.items() if tableau.control == "error"}
    assert set(EMBEDDED) == set(MIDDLE) == adaptive
