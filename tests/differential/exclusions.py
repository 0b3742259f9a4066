"""Calls that cannot be compared, each with its reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from differential.calls import Call


def excluded(call: Call) -> str | None:
    """Why the call is not compared, or None."""
    return next((reason for reason, holds in _REASONS.items() if holds(call)), None)


def _reversed_adjoint(call: Call) -> bool:
    return call.gradients and "adjoint" in call.face


def _given(call: Call, *names: str) -> bool:
    given: dict[str, Any] = {**(call.options or {}), **call.adjoint.get("adjoint_options", {})}
    return any(name in given for name in names)


_REASONS: dict[str, Callable[[Call], bool]] = {
    "their adjoint equations mix real parameters with a complex state, which autograd refuses": (
        lambda call: _reversed_adjoint(call) and call.state.is_complex
    ),
    "of decreasing times their adjoint solve mirrors step_t and jump_t to the other side of zero": (
        lambda call: _reversed_adjoint(call) and call.times[-1] < call.times[0] and _given(call, "step_t", "jump_t")
    ),
}
