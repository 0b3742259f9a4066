"""Event times as differentiable functions of what leads to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad

from flashode.engines.unchanged import Unchanged
from flashode.odeint.event_time import differentiable_event
from flashode.odeint.solve import odeint
from flashode.odeint.transformed import refuse_mapping, refuse_transforms
from flashode.problem import DEFAULT_ATOL, DEFAULT_RTOL, State, as_bool, as_time, make_problem
from flashode.state import components
from flashode.uncompiled import uncompiled


@uncompiled
def odeint_event(
    func: Callable[..., Any],
    y0: State,
    t0: torch.Tensor | float,
    *,
    event_fn: Callable[..., Any],
    reverse_time: bool = False,
    odeint_interface: Callable[..., Any] = odeint,
    **kwargs: Any,
) -> tuple[torch.Tensor, Any]:
    """Solve from ``t0`` to the first zero of ``event_fn``, and differentiate through the time of it.

    The event's time follows from the initial state, ``t0`` and the field by the implicit function theorem,
    and the solution's last state moves along the field with it. Gradients go through the time and the state
    that ``event_fn`` is given, **not** into its own parameters or tensors that it closes over: what is to
    receive gradients must be a part of the state (with derivative zero), as in programs for torchdiffeq.

    Once differentiable; where ``event_fn`` touches zero along the solution without crossing it the time has
    no derivative. Where it has no derivative itself, as a condition (``y[0] > 0.5``) or what is computed
    outside of autograd, the time is a constant. Gradients of any order take Newton steps on the event's time
    ``T``, of which each doubles the order that is exact, with the solution of :func:`odeint` at
    ``torch.stack([t0, T])``, because that is differentiable in its times to any order.

    Args:
        func: As for :func:`odeint`.
        y0: As for :func:`odeint`.
        t0: Initial time, a 0-d floating-point tensor, which may require grad, or a number.
        event_fn: As for :func:`odeint`.
        reverse_time: Whether to look for the event before ``t0``.
        odeint_interface: :func:`odeint`, :func:`odeint_adjoint`, or anything with their signature, such as a
            ``functools.partial`` of them or a function of torchdiffeq.
        **kwargs: Its other arguments: ``rtol``, ``atol``, ``method``, ``options`` and so on.

    Returns:
        The event's time, 0-d in the dtype of ``t0``, and the solution at ``t0`` and at the event: shape
        ``(2, *y0.shape)``, or a tuple of such.

    Raises:
        RuntimeError: Within ``vmap``, and within any transform of ``torch.func`` where gradients are wanted.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value.
        SolverError: As :func:`odeint`.
    """
    if not callable(event_fn):
        raise TypeError(f"event_fn must be a callable of (t, y), got {type(event_fn).__name__}")
    if not callable(odeint_interface):
        raise TypeError(
            f"odeint_interface must be a callable like odeint, got {type(odeint_interface).__name__}"
        )
    refuse_mapping(y0=y0, t0=t0)
    t = _times(t0, y0, as_bool("reverse_time", reverse_time))
    unchanged = Unchanged("odeint_event", func=func, event_fn=event_fn)
    event_t, solution = odeint_interface(func, y0, t, event_fn=event_fn, **kwargs)
    unchanged.settle()
    parts = components(solution)
    last = torch.cat([part[-1].reshape(-1) for part in parts]) if len(parts) > 1 else parts[0][-1]
    if not (torch.is_grad_enabled() and last.requires_grad) and forward_ad._current_level < 0:
        return event_t, solution
    refuse_transforms("odeint_event")
    # What follows differentiates it; that of odeint_adjoint would have its own derivative evaluated as well.
    event_t = event_t.detach()
    # Of it only the field and the event are used: what method odeint_interface solved by does not matter.
    problem = make_problem(
        func, y0, t, rtol=DEFAULT_RTOL, atol=DEFAULT_ATOL, method=None, options=None, event_fn=event_fn
    )
    solver_t, last = differentiable_event(
        problem, unchanged, problem.direction * event_t, last.reshape(problem.y0.shape)
    )
    lasts = components(problem.unflatten(last))
    moved = tuple(torch.cat([part[:-1], end[None]]) for part, end in zip(parts, lasts, strict=True))
    return problem.direction * solver_t, moved[0] if problem.shapes is None else moved


def _times(t0: Any, y0: Any, reverse_time: bool) -> torch.Tensor:
    """The start and a time that tells the direction."""
    start = as_time("t0", t0, y0).reshape(1)
    # Far enough to differ from the start in any precision.
    distance = start.detach().abs().clamp(min=1)
    return torch.cat([start, start.detach() - distance if reverse_time else start.detach() + distance])
