"""What the Numba engine takes."""

from __future__ import annotations

from flashode.engines.compiled.backend import Work
from flashode.engines.compiled.scope import Demand
from flashode.engines.numba.fields.placement import emitted
from flashode.methods import Tableau

# Numba compiles so many of any kind, and their vjps, for half a minute to a minute.
_MOST_OPERATIONS = 500


def refusal(work: Work) -> str | None:
    """Why it does not do this, in words, or None."""
    operations = emitted(work.program)
    if operations > _MOST_OPERATIONS:
        return (
            f"it takes {operations:,} operations on rows, more than {_MOST_OPERATIONS}, which Numba would "
            "compile for minutes"
        )
    for method in work.methods:
        assert isinstance(method, Tableau)
        if method.equations != "none":
            return "its method is implicit, and the Numba engine solves no equations"
    return None


# With more operations of a trajectory than this most of the work is products of matrices, which plain torch
# reverses faster; a single trajectory has products with vectors.
_MOST_OPERATIONS_IN_REVERSE = 150_000


def slower_than_torch(work: Work, demand: Demand) -> str | None:
    """Whether plain torch is faster, in words, or None."""
    if demand.gradients and work.batch > 1 and work.cost > _MOST_OPERATIONS_IN_REVERSE:
        return (
            f"a function of {work.cost:,} operations a trajectory is large enough for plain torch to be "
            "faster at its gradients"
        )
    return None
