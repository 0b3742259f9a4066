"""The short way to a plan, for a solve like an earlier one: of the same kind of function and state.

Checking arguments, choosing an engine and laying out memory take longer than a small solve. What they find
out is kept with the Program, by what a solve asks for; what may have changed meanwhile is checked again. The
numbers in the function's tensors, in the state and in the times may be others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from flashode import engines
from flashode.capture import Capture, recapture
from flashode.engines.compiled.field import Form, NativeField
from flashode.engines.compiled.grids import memory_of
from flashode.engines.compiled.layout import Layout
from flashode.engines.compiled.plan import NativePlan, Recipe
from flashode.engines.compiled.program import all_known, known
from flashode.engines.compiled.scope import Demand
from flashode.engines.protocol import Plan
from flashode.memory import check_memory
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
# With more wishes of one function something makes them up: they would only take memory, as long times would.
MOST = 64
MOST_TIMES = 4096
# Of all that is kept here, with all Programs together.
MAX_BYTES = 32 * 2**20

_PLAIN = frozenset({float, int, bool, str, type(None)})
_ORDINARY = (Tensor, nn.Parameter)
# Of times, those that NumPy reads as they are.
_DTYPES = (torch.float32, torch.float64)
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
        problem: What was solved; of its function and tensors nothing is left.
        adjoint: How its adjoint equations are, less their parameters; or None.
        times: As the user gave them, every bit.
        memory: The same as the compiled module reads them.
        recipe: Of its plan.
        form: Of its field.
        layout: Of its state.
    """

    problem: Problem
    adjoint: Adjoint | None
    times: bytes
    memory: Tensor
    recipe: Recipe
    form: Form
    layout: Layout

    @property
    def weight(self) -> int:
        """About how many bytes it takes: times as three sorts of numbers, and forms for every address."""
        return 4096 + 56 * len(self.problem.times) + 512 * len(self.form.compiled.reach.parameters)


Repeated = tuple[Problem, "Adjoint | None", Plan]


def repeat(
    func: Callable[..., Any],
    y0: State,
    t: Tensor,
    asked: Wish,
    verify: Verify,
    adjoint_params: Iterable[Tensor] | None = None,
) -> Repeated | None:
    """The problem, its adjoint and its plan, if an earlier solve was like it in all but content and times.

    Args:
        func: As for :func:`flashode.odeint`.
        y0: Likewise.
        t: Likewise.
        asked: What else it is to do, as given to :func:`remember`.
        verify: As for :func:`flashode.odeint`.
        adjoint_params: As for :func:`flashode.odeint_adjoint`.
    """
    if engines.watchers or not engines.allows("native") or not (_is_ordinary(t) and _is_dense(y0)):
        return None
    capture = recapture(func, _detached(y0), verify)
    if not isinstance(capture, Capture):
        return None
    check_memory("t", (t,))
    times = _numbers(t)
    found = known(capture.program).get(_key(asked, y0, t, times))
    if found is None or _may_call_back(func, found.adjoint is not None):
        return None
    state = y0 if isinstance(y0, Tensor) else make_state(y0)[0]
    if times.tobytes() == found.times:
        forward = found.problem.direction > 0
        problem = found.problem.again(func, state, t.clone() if forward else -t, found.problem.times)
        memory = found.memory
    else:
        _, solver_t, floats = make_times(t, state.device)
        problem = found.problem.again(func, state, solver_t, floats)
        memory = memory_of(solver_t)
    adjoint = found.adjoint
    if adjoint is not None:
        adjoint = adjoint.again(adjoint_parameters(func, adjoint_params)[0])
    demand = found.form.demand
    if demand is not None and demand != Demand.of(problem, adjoint, capture.slots):
        return None
    field = NativeField(found.form, capture, found.layout)
    return problem, adjoint, NativePlan(found.recipe, problem, adjoint, field, times=memory)


def remember(
    problem: Problem, adjoint: Adjoint | None, plan: Plan, y0: State, t: Tensor, asked: Wish
) -> None:
    """Keeps what was found out about a solve for others like it.

    Args:
        problem: What is to be solved.
        adjoint: How to solve its adjoint equations, or None.
        plan: How.
        y0: The state as the user gave it.
        t: The times as the user gave them.
        asked: What else was asked for, all of it.
    """
    # What trajectories carry along is a matter of each solve.
    if not isinstance(plan, NativePlan) or problem.event is not None or plan.field.layout.carried:
        return
    if not _is_ordinary(t) or len(t) > MOST_TIMES:
        return
    repeats = known(plan.field.capture.program)
    times = _numbers(t)
    key = _key(asked, y0, t, times)
    if len(repeats) >= MOST and key not in repeats:
        repeats.clear()
    _ = problem.structure  # made once for all
    nothing = problem.y0.new_empty(0)
    made = _Repeat(
        problem.again(_no_function, nothing, nothing, problem.times),
        None if adjoint is None else replace(adjoint, parameters=()),
        times.tobytes(),
        plan.times,
        plan.recipe,
        plan.field.form,
        plan.field.layout,
    )
    kept_already = sum(other.weight for kept in all_known() for other in kept.copy().values())
    if made.weight + kept_already > MAX_BYTES:
        for kept in all_known():
            kept.clear()
    repeats[key] = made


def _is_ordinary(t: Tensor) -> bool:
    """Whether times are a tensor that NumPy reads as it is, or at least a number of them is."""
    kind = type(t) in _ORDINARY and t.dtype in _DTYPES and t.is_cpu and t.layout is torch.strided
    return kind and t.dim() == 1 and not (t.is_neg() or t._is_zerotensor())


def _is_dense(y0: State) -> bool:
    """Whether a state can have memory that is read as it is: another is refused where it is checked."""
    if type(y0) is not tuple:
        return not (isinstance(y0, Tensor) and y0.is_nested)
    return all(getattr(part, "layout", None) is torch.strided and not part.is_nested for part in y0)


def _numbers(t: Tensor) -> Any:
    """The times as NumPy has them, not copied."""
    return (t.detach() if t.requires_grad else t).numpy()


def _detached(y0: State) -> State:
    """The state as a capture of its function is asked for: it is the same with a gradient or without."""
    if isinstance(y0, Tensor):
        return y0 if type(y0) is Tensor and not y0.requires_grad else y0.detach()
    if type(y0) is tuple and all(isinstance(part, Tensor) for part in y0):
        # As parts of the one tensor that a solve makes of them.
        return tuple([part.detach().contiguous() for part in y0])
    return y0


def _key(asked: Wish, y0: State, t: Tensor, times: Any) -> Wish:
    """What a solve's settings, the shapes of its state and the direction of its times tell from others."""
    # A Program serves every batch size, but a plan's memory is laid out for one.
    shapes = y0.shape if isinstance(y0, Tensor) else tuple([part.shape for part in y0])
    backwards = len(times) > 1 and bool(times[0] > times[1])
    return asked, isinstance(y0, Tensor), shapes, t.dtype, backwards


def _no_function(*_: object) -> None:
    raise AssertionError("a solve that was remembered has no function")


def _may_call_back(func: object, adjoint: bool) -> bool:
    """Whether a function may have got a callback, which a solve with its capture would not call."""
    names = _CALLBACKS_WITH_ADJOINT if adjoint else _CALLBACKS
    kind: Any = type(func)
    if not isinstance(func, nn.Module) or kind.__getattr__ is not nn.Module.__getattr__:
        return any(hasattr(func, name) for name in names)
    # Asked for what it has not, a module takes microseconds to say so.
    for place in (func.__dict__, func._parameters, func._buffers, func._modules):
        if not place.keys().isdisjoint(names):
            return True
    return any(hasattr(kind, name) for name in names)
