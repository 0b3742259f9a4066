"""Functions whose code replaces that of torchdiffeq's functions: they call flashode's of the same name.

A function keeps its globals when its code is replaced, so these import what they need themselves.
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
