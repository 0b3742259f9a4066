"""Solutions at given times, or up to an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch

from flashode.autograd import Solved, solve
from flashode.engines import choose
from flashode.engines.protocol import Plan
from flashode.engines.unchanged import Unchanged
from flashode.odeint.event_time import differentiable_event
from flashode.odeint.face import face
from flashode.odeint.transformed import refuse_mapping, refuse_transforms
from flashode.problem import (
    DEFAULT_ATOL,
    DEFAULT_RTOL,
    DISCRETE,
    Event,
    Gradient,
    Problem,
    State,
    make_continuous,
    make_problem,
)
from flashode.verify import Verify


@face
def odeint(
    func: Callable[..., Any],
    y0: State,
    t: torch.Tensor,
    *,
    rtol: Any = DEFAULT_RTOL,
    atol: Any = DEFAULT_ATOL,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: Callable[..., Any] | None = None,
    verify: Verify = "first",
) -> Any:
    """Solve ``dy/dt = func(t, y)``, ``y(t[0]) = y0``.

    Differentiable in ``y0``, in ``t``, in the parameters of ``func`` and in any tensor it closes over, to any
    order: the gradient is the exact reverse of the discrete solve. Sizes of adaptive steps are constants of
    differentiation.

    Args:
        func: Called with a 0-d ``t`` in the real dtype of ``y0`` and a state shaped as ``y0``; returns its
            derivative, of the same shape: adaptive methods refuse another; fixed-step ones broadcast it to a
            tensor state, with a warning. It may write on what it is given, and fill anew the tensor that it
            returned before: neither reaches the solution, ``y0`` or ``t``.
        y0: Floating-point or complex tensor of any shape, or a tuple of such tensors.
        t: 1-D floating-point tensor of strictly increasing or decreasing times.
        rtol: Relative tolerance: a number, a tensor that broadcasts to the state, or, for a tuple state, one
            of these for each component.
        atol: Absolute tolerance, likewise.
        method: One of ``flashode.METHODS``; None is ``"dopri5"``.
        options: Adaptive methods take ``first_step``, ``min_step``, ``max_step``, ``step_t``, ``jump_t``,
            ``safety``, ``ifactor``, ``dfactor``, ``max_num_steps``, ``dtype`` and ``norm``; fixed-step ones
            ``step_size`` or ``grid_constructor``, ``interp`` and ``perturb``, implicit ones also
            ``max_iters``, Adams methods ``max_iters`` and ``max_order``; ``"scipy_solver"`` takes ``solver``,
            ``min_step`` and ``max_step``.
        event_fn: Called with a 0-d ``t`` in the real dtype of ``y0`` and a state shaped as ``y0``; returns a
            real tensor. The solve ends where the first of its elements changes sign, looked for at the end of
            every step and then inside the step, by bisection to within ``atol``. Of ``t``, which must hold
            two times, only the first one and the direction count; fixed-step methods need ``step_size``. An
            element that is zero at the start ends the solve there. Of a boolean tensor True counts as 1 and
            False as -1: the solve ends where the first of its elements becomes another.
        verify: When the compiled form of ``func`` is compared with ``func`` itself: ``"first"``, when it is
            made and at each new batch size; ``"always"``, at every solve as well; ``"never"``, though what
            an earlier comparison found stands. Where they differ the solve runs in plain PyTorch, with a
            warning.

    Returns:
        Tensor of shape ``(len(t), *y0.shape)`` and dtype of ``y0``, or a tuple of such. With ``event_fn``, a
        pair: the event's time, 0-d in the dtype of ``t``, and such a solution at the start and at the event.
        There the event's time is a constant of differentiation; :func:`odeint_event` differentiates it too.

    Raises:
        RuntimeError: Within ``vmap`` over ``y0`` or ``t``.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value, or ``use_engine`` insists on an engine that cannot
            run it.
        NonFiniteError: If NaN or infinity turns up and no smaller step avoids it.
        StepSizeUnderflow: If no step is small enough for the tolerances.
        MaxStepsExceeded: If an output interval takes more than ``max_num_steps`` steps, or an event is not
            reached in as many, or by a fixed-step method in 20000.
    """
    refuse_mapping(y0=y0, t=t)
    problem = make_problem(
        func, y0, t, rtol=rtol, atol=atol, method=method, options=options, verify=verify, event_fn=event_fn
    )
    return _answer(problem, *solve(problem, DISCRETE, choose(problem, DISCRETE)))


@face
def odeint_adjoint(
    func: Callable[..., Any],
    y0: State,
    t: torch.Tensor,
    *,
    rtol: Any = DEFAULT_RTOL,
    atol: Any = DEFAULT_ATOL,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: Callable[..., Any] | None = None,
    verify: Verify = "first",
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: Mapping[str, Any] | None = None,
    adjoint_params: Iterable[torch.Tensor] | None = None,
) -> Any:
    """Solve as :func:`odeint` does; differentiate by the continuous adjoint.

    The gradient is that of the differential equation, not of the discrete solve: it is found by integrating
    the adjoint equations backwards, in memory that does not grow with the number of steps and with an error
    of its own. Once differentiable, in ``y0``, ``t`` and ``adjoint_params``.

    Args:
        func: As for :func:`odeint`.
        y0: As for :func:`odeint`.
        t: As for :func:`odeint`.
        rtol: As for :func:`odeint`.
        atol: As for :func:`odeint`.
        method: As for :func:`odeint`.
        options: As for :func:`odeint`.
        event_fn: As for :func:`odeint`. The adjoint equations are integrated back from the event. Its time is
            differentiable, as :func:`odeint_event` has it; the solution is that at a constant time. Of ``t``
            only the first one has a gradient.
        verify: As for :func:`odeint`.
        adjoint_rtol: Relative tolerance of the reverse solve; None takes ``rtol``. A tuple may also have one
            entry for each part of the augmented state ``(vjp_t, y, a, *parameters)``.
        adjoint_atol: Absolute tolerance, likewise.
        adjoint_method: Method of the reverse solve; None takes ``method``.
        adjoint_options: Its options; None takes ``options`` less their ``norm``. Its ``norm`` may be
            ``"seminorm"``, which leaves the parameters out, or a function of the unpacked augmented state.
        adjoint_params: Tensors that receive gradients; None takes the parameters of ``func``. Those that do
            not require grad are dropped; those that are not used get zeros.

    Returns:
        As :func:`odeint`.

    Raises:
        RuntimeError: Within a transform of ``torch.func``, and where it is differentiated in forward mode.
        ValueError: As :func:`odeint`; also if ``func`` is no Module and ``adjoint_params`` is not given, or
            if ``adjoint_options`` is missing where ``options`` belong to another method.
        TypeError: As :func:`odeint`.
        SolverError: As :func:`odeint`, also from the backward pass.
    """
    refuse_transforms("odeint_adjoint")
    problem = make_problem(
        func, y0, t, rtol=rtol, atol=atol, method=method, options=options, verify=verify, event_fn=event_fn
    )
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
    plan = choose(problem, gradient)
    if problem.event is None:
        return _answer(problem, *solve(problem, gradient, plan))
    return _answer(problem, *_solve_to_event(problem, gradient, plan, problem.event))


def _solve_to_event(problem: Problem, gradient: Gradient, plan: Plan, event: Event) -> Solved:
    """A solve whose event's time is differentiable too."""
    unchanged = Unchanged("odeint_adjoint", func=problem.func, event_fn=event.function)
    states, times = solve(problem, gradient, plan)
    assert times is not None
    if not states.requires_grad:
        return states, times
    unchanged.settle()
    start, event_t = times.to(states.device)
    event_t, _ = differentiable_event(problem, unchanged, event_t, states[-1])
    return states, torch.stack([start, event_t])


def _answer(problem: Problem, states: torch.Tensor, times: torch.Tensor | None) -> Any:
    """What the user gets: the solution, with an event as the second of a pair."""
    solution = problem.unflatten(states)
    if times is None:
        return solution
    if times.requires_grad:
        return (problem.direction * times[1]).to(problem.t), solution
    event_t = problem.direction * times.tolist()[1]
    return torch.full((), event_t, dtype=problem.t.dtype, device=problem.t.device), solution
