"""Calls that cannot be compared, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from differential.calls import Call
from differential.draws import ADAPTIVE


def excluded(call: Call) -> str | None:
    """Why the call is not compared, or None."""
    return next((reason for reason, holds in _REASONS.items() if holds(call)), None)


def _reversed_adjoint(call: Call) -> bool:
    return call.gradients and "adjoint" in call.face


def _given(call: Call, *names: str) -> bool:
    arguments: dict[str, Any] = {**(call.options or {}), **call.adjoint.get("adjoint_options", {})}
    return any(name in arguments for name in names)


def _differing(tolerance: Any) -> bool:
    return isinstance(tolerance, tuple) or (isinstance(tolerance, Tensor) and tolerance.dim() > 0)


_REASONS: dict[str, Callable[[Call], bool]] = {
    "their adjoint equations mix real parameters with a complex state, which autograd refuses": (
        lambda call: _reversed_adjoint(call) and call.state.is_complex
    ),
    "of decreasing times their adjoint solve mirrors step_t and jump_t to the other side of zero": (
        lambda call: (
            _reversed_adjoint(call) and call.times[-1] < call.times[0] and _given(call, "step_t", "jump_t")
        )
    ),
    "through the time of an event theirs takes the gradient of a complex state for its conjugate": (
        lambda call: call.gradients and call.face.startswith("odeint_event") and call.state.is_complex
    ),
    "their odeint_dense fails in decreasing time": (
        lambda call: call.face == "odeint_dense" and call.times[-1] < call.times[0]
    ),
    "their events take one tolerance only": (
        lambda call: call.event is not None and (_differing(call.rtol) or _differing(call.atol))
    ),
    "their SciPy solvers take numbers as tolerances only": (
        lambda call: (
            call.method == "scipy_solver" and (isinstance(call.rtol, Tensor) or isinstance(call.atol, Tensor))
        )
    ),
    "their SciPy solvers give a state of another shape where there is one time": (
        lambda call: call.method == "scipy_solver" and len(call.times) == 1
    ),
    "their fixed-step methods call no callbacks on the way to an event": (
        lambda call: call.event is not None and call.method not in ADAPTIVE and bool(call.callbacks)
    ),
    "from one time to itself they step through a grid whose points are all the same": (
        lambda call: len(call.times) == 1 and _given(call, "grid_constructor")
    ),
}
