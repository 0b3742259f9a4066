"""Functions that only call flashode's of the same name; their code can be put into torchdiffeq's functions.

So they use nothing of the module they stand in: a function keeps its own globals when it is given other code.
"""

from __future__ import annotations

from typing import Any


def odeint(*args: Any, **kwargs: Any) -> Any:
    """Calls :func:`flashode.odeint`."""
    from flashode.odeint import odeint as ours

    return ours(*args, **kwargs)


def odeint_adjoint(*args: Any, **kwargs: Any) -> Any:
    """Calls :func:`flashode.odeint_adjoint`."""
    from flashode.odeint import odeint_adjoint as ours

    return ours(*args, **kwargs)


def odeint_event(*args: Any, **kwargs: Any) -> Any:
    """Calls :func:`flashode.odeint_event`."""
    from flashode.odeint import odeint_event as ours

    return ours(*args, **kwargs)


def odeint_dense(*args: Any, **kwargs: Any) -> Any:
    """Calls :func:`flashode.odeint_dense`."""
    from flashode.odeint import odeint_dense as ours

    return ours(*args, **kwargs)
