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
    make_continuous,
    make_problem,
    times_or_start,
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
    source: bool = False,
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
        source: Whether the text is to have that of the kernels that are compiled for the function.
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
    for name, value in (("adjoint", adjoint), ("source", source)):
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    t = times_or_start(t, y0, to_event=event_fn is not None)
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
    return answer(problem, gradient, source)
