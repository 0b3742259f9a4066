"""The errors of a solve, with the solution up to them. Shared by the engines."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn

from flashode.engines.derivatives import HIDDEN_DERIVATIVE
from flashode.errors import MaxStepsExceeded, NonFiniteError, StepSizeUnderflow
from flashode.problem import Problem
from flashode.statistics import Statistics

# A step's sums of slopes may be this many times as large as its state.
_MARGIN = 100


class Culprit(NamedTuple):
    """The part of a state that is not finite.

    Attributes:
        component: Of a tuple state; 0 of a tensor.
        trajectory: Index over the component's leading dimensions, None where it has none.
    """

    component: int
    trajectory: tuple[int, ...] | None


def non_finite(
    problem: Problem,
    t: float,
    origin: str,
    culprit: torch.Tensor | Culprit | None,
    statistics: Statistics,
    states: torch.Tensor,
    start: torch.Tensor | None = None,
) -> NonFiniteError:
    """A NaN or an infinity in the field or the state.

    Args:
        problem: What was being solved.
        t: Solver time.
        origin: ``"field"`` or ``"state"``.
        culprit: The state-shaped tensor that is not finite, or where in it, None where unknown.
        statistics: Counts so far.
        states: Solution at the first output times, as far as it was reached.
        start: The state that the step started from; None where only those are known.
    """
    time = _time(problem, t)
    where, trajectory = _locate(problem, culprit)
    largest = _largest(states[-1:] if start is None else start)
    if largest * _MARGIN > torch.finfo(problem.y0.dtype).max:
        origin = "state"
        what = (
            f"the state overflows {problem.y0.dtype} near {time}{where}: it was as large as "
            f"{largest:.3g}; other units or a wider dtype may help"
        )
    elif origin == "field":
        what = f"func returned a value that is not finite at {time}{where}, where the state was finite"
        what += _reason(problem.func)
    else:
        what = f"the state is not finite at {time}{where}"
    what += _search(problem)
    return NonFiniteError(
        what, trajectory=trajectory, origin=origin, **_reached(problem, t, statistics, states)
    )


def non_finite_gradient(
    problem: Problem, times: torch.Tensor, grad_states: torch.Tensor, statistics: Statistics | None
) -> NonFiniteError | None:
    """A gradient that came into a reverse solve with NaN or infinity in it; None if it is finite.

    Args:
        problem: What was solved.
        times: Solver times of the outputs.
        grad_states: The gradient in the states there.
        statistics: Counts of the reverse solve so far.
    """
    for i, gradient in enumerate(grad_states):
        where, trajectory = _locate(problem, gradient)
        if where or not bool(torch.isfinite(gradient).all()):
            t = float(times[i])
            return NonFiniteError(
                f"the gradient in output {i} ({_time(problem, t)}) that came into the backward pass is not "
                f"finite{where}: the loss, or what lies between it and the solution, made it so",
                trajectory=trajectory,
                origin="gradient",
                statistics=statistics,
                t=problem.direction * t,
            )
    return None


def hidden_derivative(
    problem: Problem, t: float, statistics: Statistics, states: torch.Tensor
) -> NonFiniteError:
    """An implicit step that diverged for want of a derivative; arguments as for :func:`non_finite`."""
    message = (
        f"the equations of the implicit step at {_time(problem, t)} have no solution that could be found: "
        f"{HIDDEN_DERIVATIVE}{_search(problem)}"
    )
    return NonFiniteError(message, origin="field", **_reached(problem, t, statistics, states))


def undefined_event(
    problem: Problem, t: float, statistics: Statistics, states: torch.Tensor
) -> NonFiniteError:
    """An event function that gives NaN; arguments as for :func:`non_finite`."""
    message = f"event_fn returned NaN at {_time(problem, t)}"
    return NonFiniteError(message, origin="event", **_reached(problem, t, statistics, states))


def underflow(
    problem: Problem, t: float, dt: float, statistics: Statistics, states: torch.Tensor
) -> StepSizeUnderflow:
    """A step too small to advance time; arguments as for :func:`non_finite`."""
    message = (
        f"the step size fell to {dt:.3g} at {_time(problem, t)}, too small to advance time: the problem may "
        "be stiff or singular there, or the tolerances too tight for its precision. Larger rtol and atol, a "
        "float64 state, or options={'min_step': ...}, which accepts steps that small whatever their error, "
        f"may help{_search(problem)}"
    )
    return StepSizeUnderflow(message, dt=dt, **_reached(problem, t, statistics, states))


def max_steps(
    problem: Problem, t: float, statistics: Statistics, states: torch.Tensor, limit: int
) -> MaxStepsExceeded:
    """Too many steps in one output interval or to an event; arguments as for :func:`non_finite`."""
    time = _time(problem, t)
    if problem.event is not None:
        more = "options={'max_num_steps': ...}" if problem.method.control == "error" else "a larger step_size"
        message = (
            f"event_fn kept its sign from {_time(problem)} to {time}, where the solve gave up "
            f"after {limit} steps: the event may never happen, lie on the other side of the start (the "
            "order of t, or reverse_time, says which way time goes), or be a zero that event_fn touches "
            f"without crossing; where it is only far away, {more} reaches it"
        )
    else:
        message = (
            f"max_num_steps exceeded: {limit} steps did not reach the next output time; the solve stands at "
            f"{time}"
        )
    return MaxStepsExceeded(message, **_reached(problem, t, statistics, states))


def _time(problem: Problem, t: float | None = None) -> str:
    """A solver time, or the start, in the user's own time."""
    return f"t = {problem.direction * (problem.times[0] if t is None else t):.9g}"


def _search(problem: Problem) -> str:
    """Words for a solve that went on because its event did not happen."""
    if problem.event is None:
        return ""
    return (
        f"; event_fn kept its sign from {_time(problem)} to there: the event may never happen, or "
        "lie on the other side of the start"
    )


def _reached(problem: Problem, t: float, statistics: Statistics, states: torch.Tensor) -> dict[str, Any]:
    if problem.every_step:
        # The outputs of every step mean nothing to the user, but for the start.
        states = problem.y0[None]
    count = len(states)
    return {
        "statistics": statistics,
        "t": problem.direction * t,
        "times": problem.direction * problem.t[:count].detach(),
        "partial": problem.unflatten(states.detach()),
    }


def _locate(problem: Problem, culprit: torch.Tensor | Culprit | None) -> tuple[str, tuple[int, ...] | None]:
    """Words for, and index of, the first trajectory with a value that is not finite."""
    if isinstance(culprit, torch.Tensor):
        culprit = _first(problem, culprit)
    if culprit is None:
        return "", None
    component = "" if problem.shapes is None else f" in component {culprit.component} of the state"
    if culprit.trajectory is None:
        return component, None
    return f"{component} (trajectory {culprit.trajectory})", culprit.trajectory


def _first(problem: Problem, state: torch.Tensor) -> Culprit | None:
    parts = (state,) if problem.shapes is None else problem.unflatten(state)
    for i, part in enumerate(parts):
        bad = ~torch.isfinite(part.detach())
        if bool(bad.any()):
            leading = bad.any(dim=-1).nonzero()[0] if part.dim() > 1 else ()
            return Culprit(i, tuple(int(n) for n in leading) or None)
    return None


def _largest(state: torch.Tensor) -> float:
    """The largest magnitude in a state; 0 where it is not finite, or empty."""
    largest = state.detach().abs().amax().item() if state.numel() else 0.0
    return largest if math.isfinite(largest) else 0.0


def _reason(func: object) -> str:
    """Words for a tensor of the function's that is not finite itself, the first one."""
    for name, tensor in _tensors(func):
        if not bool(torch.isfinite(tensor.detach()).all()):
            return f"; {name} is not finite itself"
    return ""


def _tensors(func: object) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors of a function, by what a user calls them: of its module, and of its closure."""
    while isinstance(func, partial):
        func = func.func
    owner = getattr(func, "__self__", func)
    if isinstance(owner, nn.Module):
        yield from _of_module(owner, "")
    try:
        read = inspect.getclosurevars(func)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # it is no Python function, or a variable is not bound
        return
    for name, value in {**read.globals, **read.nonlocals}.items():
        if isinstance(value, torch.Tensor):
            yield f"the variable {name!r}", value
        elif isinstance(value, nn.Module):
            yield from _of_module(value, f"{name}.")


def _of_module(module: nn.Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    for kind, tensors in (("parameter", module.named_parameters()), ("buffer", module.named_buffers())):
        for name, tensor in tensors:
            if tensor.is_floating_point() or tensor.is_complex():
                yield f"its {kind} {prefix + name!r}", tensor
