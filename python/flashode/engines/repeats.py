"""The short way to a plan, for a solve that differs from an earlier one in what its tensors hold alone.

Checking arguments, choosing an engine and laying out memory take longer than a small solve. What they find
out is kept with the Program, by what a solve asks for; what may have changed meanwhile is checked again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from flashode import engines
from flashode.capture import Capture, recapture
from flashode.engines.layout import Layout
from flashode.engines.native_field import Form, NativeField
from flashode.engines.native_grid import memory_of
from flashode.engines.native_plan import NativePlan, Recipe
from flashode.engines.native_program import known
from flashode.engines.plan import Plan
from flashode.problem import (
    Adjoint,
    Problem,
    State,
    adjoint_parameters,
    callback_names,
    make_state,
    make_times,
)
from flashode.verify import Verify

# What a solve asks for beside its function, state and times.
Wish = tuple[Any, ...]
# With more wishes of one function something makes them up: they would only take memory.
MOST = 64

_PLAIN = frozenset({float, int, bool, str, type(None)})
_ORDINARY = (Tensor, nn.Parameter)
_NO_TENSOR = torch.empty(0)
_CALLBACKS = callback_names()
_CALLBACKS_WITH_ADJOINT = (*callback_names(), *callback_names("_adjoint"))


def wish(settings: tuple[object, ...]) -> Wish | None:
    """What tells a solve's settings from others'; None where they are more than numbers and words.

    Args:
        settings: Arguments of a solve, options among them.
    """
    if _PLAIN.issuperset(map(type, settings)):
        return settings
    parts: list[Any] = []
    for value in settings:
        kind = type(value)
        if kind is dict:
            options: dict[Any, Any] = value  # type: ignore[assignment]
            if not _PLAIN.issuperset(map(type, options.values())):
                return None
            # Types too: some options take True, and no number.
            parts.append((*options.items(), *map(type, options.values())))
        elif kind in _PLAIN:
            parts.append(value)
        else:
            return None
    return tuple(parts)


@dataclass(frozen=True, eq=False)
class _Repeat:
    """A solve without its function and tensors.

    Attributes:
        problem: What was solved, less these.
        adjoint: How its adjoint equations are, less their parameters; or None.
        times: As the user gave them.
        dtype: Of the times.
        memory: The same as the compiled module reads them.
        recipe: Of its plan.
        form: Of its field.
        layout: Of its state.
    """

    problem: Problem
    adjoint: Adjoint | None
    times: list[float]
    dtype: torch.dtype
    memory: Tensor
    recipe: Recipe
    form: Form
    layout: Layout


Repeated = tuple[Problem, "Adjoint | None", Plan]


def repeat(
    func: Callable[..., Any],
    y0: State,
    t: Tensor,
    asked: Wish,
    verify: Verify,
    adjoint_params: Iterable[Tensor] | None = None,
) -> Repeated | None:
    """The problem, its adjoint and its plan, if an earlier solve differs in the content of tensors alone.

    Args:
        func: As for :func:`flashode.odeint`.
        y0: Likewise.
        t: Likewise.
        asked: What else it is to do, as given to :func:`remember`.
        verify: As for :func:`flashode.odeint`.
        adjoint_params: As for :func:`flashode.odeint_adjoint`.
    """
    if engines.watchers or not engines.allows("native") or type(t) not in _ORDINARY or not t.is_cpu:
        return None
    capture = recapture(func, y0, verify)
    found = known(capture.program).get(asked) if isinstance(capture, Capture) else None
    if found is None or t.dtype is not found.dtype or _may_call_back(func, found.adjoint is not None):
        return None
    assert isinstance(capture, Capture)
    return _repeated(found, capture, func, y0, t, adjoint_params)


def _repeated(
    found: _Repeat,
    capture: Capture,
    func: Callable[..., Any],
    y0: State,
    t: Tensor,
    adjoint_params: Iterable[Tensor] | None,
) -> Repeated | None:
    state = y0 if isinstance(y0, Tensor) else make_state(y0)[0]
    direction, times, given = found.problem.direction, found.problem.times, t.tolist()
    solver_t, memory = t if direction > 0 else -t, found.memory
    if given != found.times:
        now, solver_t, times = make_times(t, state.device)
        memory = memory_of(solver_t)
        if now != direction:
            return None
    problem = found.problem.again(func, state, solver_t, times)
    adjoint = found.adjoint
    if adjoint is not None:
        adjoint = adjoint.again(adjoint_parameters(func, adjoint_params)[0])
    field = NativeField(found.form, capture, found.layout)
    return problem, adjoint, NativePlan(found.recipe, problem, adjoint, field, times=memory)


def remember(problem: Problem, adjoint: Adjoint | None, plan: Plan, t: Tensor, asked: Wish) -> None:
    """Keeps what was found out about a solve for those that will differ from it in content alone.

    Args:
        problem: What is to be solved.
        adjoint: How to solve its adjoint equations, or None.
        plan: How.
        t: The times as the user gave them.
        asked: What else was asked for, all of it.
    """
    # What trajectories carry along is a matter of each solve.
    if not isinstance(plan, NativePlan) or problem.event is not None or plan.field.layout.carried:
        return
    repeats = known(plan.field.capture.program)
    if len(repeats) >= MOST:
        repeats.clear()
    _ = problem.structure  # made once for all
    repeats[asked] = _Repeat(
        problem.again(_no_function, _NO_TENSOR, _NO_TENSOR, problem.times),
        None if adjoint is None else replace(adjoint, parameters=()),
        t.tolist(),
        t.dtype,
        # The user's own would be kept alive, and change.
        plan.times.clone(),
        plan.recipe,
        plan.field.form,
        plan.field.layout,
    )


def _no_function(*_: object) -> None:
    raise AssertionError("a solve that was remembered has no function")


def _may_call_back(func: object, adjoint: bool) -> bool:
    """Whether a function may have got a callback, which a solve with its capture would not call."""
    names = _CALLBACKS_WITH_ADJOINT if adjoint else _CALLBACKS
    kind: Any = type(func)
    if not isinstance(func, nn.Module) or kind.__getattr__ is not nn.Module.__getattr__:
        return any([hasattr(func, name) for name in names])
    # Asked for what it has not, a module takes microseconds to say so.
    for place in (func.__dict__, func._parameters, func._buffers, func._modules):
        if not place.keys().isdisjoint(names):
            return True
    return any([hasattr(kind, name) for name in names])
