"""The functions that flashode has in the place of torchdiffeq's, by the name that both have for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flashode.odeint import odeint, odeint_adjoint, odeint_dense, odeint_event

FACES: dict[str, Callable[..., Any]] = {
    face.__name__: face for face in (odeint, odeint_adjoint, odeint_event, odeint_dense)
}
