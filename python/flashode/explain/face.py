"""``explain``: the arguments of a solve, explained instead of solved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from flashode.explain.answer import answer
from flashode.explain.explanation import Explanation
from flashode.problem import (
    DEFAULT_ATOL,
    DEFAULT_RTOL,
    DISCRETE,
    Gradient,
    State,
    device_of,
    make_continuous,
    make_problem,
)
from flashode.verify import Verify


def explain(
    func: Callable[..., Any],
    y0: State,
    t: torch.Tensor | float | None = None,
    *,
    rtol: Any = DEFAULT_RTOL,
    atol: Any = DEFAULT_ATOL,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: Callable[..., Any] | None = None,
    verify: Verify = "first",
    adjoint: bool = False,
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: Mapping[str, Any] | None = None,
    adjoint_params: Iterable[torch.Tensor] | None = None,
) -> Explanation:
    """Say which engine would run a solve, and what stands in the way of the faster ones.

    Nothing is solved. The function may be called a few times; nothing it does then can be noticed afterwards.
    Print the result, or look at its attributes. A function that raises does not make this raise. Not for a
    function that another thread is solving with: what that adds to its counters meanwhile may be lost.

    Args:
        func: As for :func:`flashode.odeint`.
        y0: Likewise; its shape, dtype and device matter, and its values where the function is defined.
        t: The times of a solve, or one time; None is 0. With ``event_fn`` two times, or the one that the
            solve starts from.
        rtol: As for :func:`flashode.odeint`.
        atol: Likewise.
        method: Likewise.
        options: Likewise.
        event_fn: Likewise. It is called at the start, as a solve does; what it raises then, this raises.
        verify: Likewise.
        adjoint: Whether to explain :func:`flashode.odeint_adjoint`; any of its own arguments says so too.
        adjoint_rtol: As for :func:`flashode.odeint_adjoint`.
        adjoint_atol: Likewise.
        adjoint_method: Likewise.
        adjoint_options: Likewise.
        adjoint_params: Likewise.

    Returns:
        The explanation, to print or to read by its attributes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value.
    """
    if not isinstance(adjoint, bool):
        raise TypeError(f"adjoint must be True or False, got {type(adjoint).__name__}")
    t = _times(t, y0, to_event=event_fn is not None)
    problem = make_problem(
        func, y0, t, rtol=rtol, atol=atol, method=method, options=options, verify=verify, event_fn=event_fn
    )
    adjoint_arguments = (adjoint_rtol, adjoint_atol, adjoint_method, adjoint_options, adjoint_params)
    gradient: Gradient = DISCRETE
    if adjoint or any(argument is not None for argument in adjoint_arguments):
        gradient = make_continuous(
            problem,
            method=method,
            options=options,
            adjoint_rtol=adjoint_rtol,
            adjoint_atol=adjoint_atol,
            adjoint_method=adjoint_method,
            adjoint_options=adjoint_options,
            adjoint_params=adjoint_params,
        )
    return answer(problem, gradient)


def _times(t: Any, y0: Any, *, to_event: bool) -> torch.Tensor:
    """The times of the solve; to an event, from one time on."""
    times = t if isinstance(t, torch.Tensor) and t.dim() > 0 else _time(t, y0)
    if not to_event or times.shape != (1,):
        return times
    start = times.detach()
    return torch.cat([times, start + start.abs().clamp(min=1)])


def _time(t: Any, y0: Any) -> torch.Tensor:
    try:
        time = 0.0 if t is None else float(t)
    except (TypeError, ValueError):
        raise TypeError(f"t must be a tensor of times, a number or None, got {type(t).__name__}") from None
    return torch.tensor([time], dtype=torch.float64, device=device_of(y0))
