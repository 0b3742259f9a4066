"""What is true of every method: who chooses its steps, which equations it solves, what it carries along."""

from __future__ import annotations

import pytest

from flashode.methods import METHODS, TABLEAUX

# (who chooses the steps, which equations the stages solve, what is known inside a step)
CHOOSING = ("error", "none", "quartic")
EXPLICIT = ("fixed", "none", "linear")
DIAGONAL = ("fixed", "diagonal", "linear")
FULL = ("fixed", "full", "linear")
FACTS = {
    **dict.fromkeys(("dopri8", "dopri5", "tsit5", "bosh3", "fehlberg2", "adaptive_heun"), CHOOSING),
    **dict.fromkeys(("euler", "midpoint", "heun2", "heun3", "rk4"), EXPLICIT),
    **dict.fromkeys(("explicit_adams", "implicit_adams", "fixed_adams"), EXPLICIT),
    **dict.fromkeys(("implicit_euler", "implicit_midpoint", "trapezoid", "sdirk2", "trbdf2"), DIAGONAL),
    **dict.fromkeys(("radauIIA3", "gl4", "radauIIA5", "gl6"), FULL),
    "scipy_solver": ("error", "none", None),
}
FSAL = {"bosh3", "dopri5", "tsit5", "dopri8", "trapezoid", "trbdf2"}


@pytest.mark.parametrize("name", METHODS)
def test_facts(name: str) -> None:
    method = METHODS[name]
    inside = None if method.interpolant is None else method.interpolant.name
    assert (method.control, method.equations, inside) == FACTS[name]


@pytest.mark.parametrize("name", TABLEAUX)
def test_last_stage(name: str) -> None:
    """Methods that choose their steps reuse it, also where it was not evaluated at the solution."""
    tableau = TABLEAUX[name]
    assert tableau.fsal == (name in FSAL)
    assert tableau.carried == (FACTS[name] == CHOOSING)
