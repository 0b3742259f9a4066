"""Every method, written once and exactly, under the name it is called by."""

from __future__ import annotations

from flashode.methods.adams import EXPLICIT_ADAMS, IMPLICIT_ADAMS, Adams
from flashode.methods.adaptive import ADAPTIVE
from flashode.methods.explicit import FIXED
from flashode.methods.implicit import IMPLICIT
from flashode.methods.outside import SCIPY_SOLVER, SciPy
from flashode.methods.tableau import FloatTableau, Tableau

__all__ = ["METHODS", "TABLEAUX", "Adams", "FloatTableau", "Method", "SciPy", "Tableau"]

Method = Tableau | Adams | SciPy

TABLEAUX: dict[str, Tableau] = {method.name: method for method in (*ADAPTIVE, *FIXED, *IMPLICIT)}

METHODS: dict[str, Method] = {
    **TABLEAUX,
    EXPLICIT_ADAMS.name: EXPLICIT_ADAMS,
    IMPLICIT_ADAMS.name: IMPLICIT_ADAMS,
    "fixed_adams": IMPLICIT_ADAMS,  # torchdiffeq's older name for it
    SCIPY_SOLVER.name: SCIPY_SOLVER,
}
