"""SciPy's solvers, which choose their own steps and are run by SciPy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class SciPy:
    """One of the solvers of ``scipy.integrate.solve_ivp``, which the option ``solver`` names.

    Attributes:
        name: The name it is called by.
        source: Where it was published.
    """

    name: str
    source: str

    @property
    def adaptive(self) -> bool:
        """Whether the method estimates its own error."""
        return True


SCIPY_SOLVER = SciPy("scipy_solver", "Virtanen et al., Nature Methods 17, 2020")
