"""SciPy's solvers, which choose their own steps and are run by SciPy."""

from __future__ import annotations

from dataclasses import dataclass

from flashode.methods.control import Control
from flashode.methods.newton import Equations


@dataclass(frozen=True, eq=False)
class SciPy:
    """One of the solvers of ``scipy.integrate.solve_ivp``, which the option ``solver`` names."""

    name: str
    source: str  # where it was published
    # As of a tableau; what stages solve and what lies inside a step stays with SciPy.
    control: Control = "error"
    equations: Equations = "none"
    interpolant: None = None


SCIPY_SOLVER = SciPy("scipy_solver", "Virtanen et al., Nature Methods 17, 2020")
