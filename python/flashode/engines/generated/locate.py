"""Where a solve left the numbers: looked for by torch, once it has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from flashode.engines.compiled.requests import ContinuousRequest, EvaluatedField
from flashode.methods import Tableau
from flashode.problem import FixedOptions, Integrator

# Sums of stages, whose weights reach some ten, are not finite when states are this close to the largest
# number.
_OVERFLOW_SHARE = 64


def overflow(dtype: torch.dtype) -> float:
    """A solve whose errors are not finite has failed where a state is larger than this."""
    return torch.finfo(dtype).max / _OVERFLOW_SHARE


class Place(NamedTuple):
    """What is to blame.

    Attributes:
        status: How the solve ended, by name.
        trajectory: Where the first number is that is not finite.
        row: Of its state; rows of the adjoint state, then of the gradient in c, follow.
    """

    status: str
    trajectory: int
    row: int


@dataclass(frozen=True)
class Equations:
    """What was integrated, as torch sees it.

    Attributes:
        rates: Of a time and states ``(batch, width)``.
        segments: Ranges of rows that are to be finite.
        integrator: How it was integrated.
        batch: Trajectories.
    """

    rates: Callable[[Tensor, Tensor], Tensor]
    segments: Sequence[tuple[int, int]]
    integrator: Integrator
    batch: int


def of_state(field: EvaluatedField, integrator: Integrator) -> Equations:
    """The field alone."""
    direction = field.shape.direction

    def rates(t: Tensor, states: Tensor) -> Tensor:
        return _evaluated(field, direction, t, states, field.c)

    return Equations(rates, _segments(field), integrator, field.shape.batch)


def of_adjoint(request: ContinuousRequest) -> Equations:
    """The state, its adjoint and the gradient in c, in reversed time."""
    field = request.field
    direction = -field.shape.direction
    segments = _segments(field)
    width = segments[-1][1]
    measured = [] if request.seminorm else request.measured_c

    def rates(t: Tensor, augmented: Tensor) -> Tensor:
        with torch.enable_grad():
            y = augmented[:, :width].detach().requires_grad_()
            c = None if field.c is None else field.c.detach().requires_grad_()
            slopes = _evaluated(field, direction, t, y, c)
            inputs = [y] if c is None else [y, c]
            cotangent = -augmented[:, width : 2 * width]
            if not slopes.requires_grad:
                return torch.cat([slopes, *[torch.zeros_like(x) for x in inputs]], 1)
            grads = torch.autograd.grad(slopes, inputs, cotangent, allow_unused=True, materialize_grads=True)
        return torch.cat([slopes.detach(), *grads], 1)

    adjoint = [(begin + width, end + width) for begin, end in segments]
    context = [(begin + 2 * width, end + 2 * width) for begin, end in measured]
    return Equations(rates, [*segments, *adjoint, *context], request.integrator, field.shape.batch)


class Stop(NamedTuple):
    """Where a solve has stopped.

    Attributes:
        t: Solver time at the start of the step tried last.
        tried: Its size.
        state: At its start, ``(batch, width)``.
        slope: There.
        end_slope: At its end.
    """

    t: float
    tried: float
    state: Tensor
    slope: Tensor
    end_slope: Tensor


def locate(equations: Equations, status: str, stop: Stop) -> Place | None:
    """What is to blame for a solve that failed, if anything is.

    As in the native engine: the state at the start of the step if that is not finite, else its slope, else
    the first stage of the step that is not, else its end.

    Args:
        equations: What was integrated.
        status: How it ended.
        stop: Where.
    """
    state = stop.state
    if status == "nonfinite_state" and equations.integrator.method.control == "error":
        place = _first(equations, ~(state.abs() <= overflow(state.dtype)))
        return None if place is None else Place(status, *place)
    if status not in ("nonfinite_field", "nonfinite_state", "underflow"):
        return None
    *stages, end = _step(equations, stop)
    searched = [
        (state, "nonfinite_state"),
        *[(k, "nonfinite_field") for k in stages],
        (end, "nonfinite_state"),
        (stop.end_slope, "nonfinite_field"),
    ]
    for values, what in searched:
        place = _first(equations, ~values.isfinite())
        if place is not None:
            return Place(what, *place)
    return None


def _first(equations: Equations, is_wrong: Tensor) -> tuple[int, int] | None:
    """The first element of ``(batch, width)``: by segment, then trajectory, then row."""
    for begin, end in equations.segments:
        places = is_wrong[:, begin:end].nonzero()
        if len(places):
            trajectory, row = places[0].tolist()
            return trajectory, begin + row
    return None


def _step(equations: Equations, stop: Stop) -> list[Tensor]:
    """The slopes of the stages of the step tried last, the first of them given, and its end."""
    options, tableau = equations.integrator.options, equations.integrator.method
    assert isinstance(tableau, Tableau)
    numbers = tableau.floats()
    state = stop.state
    dt = _time(stop.tried, state)
    end = _time(stop.t + stop.tried, state)
    if tableau.control == "error" or (isinstance(options, FixedOptions) and options.perturb):
        end = torch.nextafter(end, torch.full_like(end, -torch.inf))
    stages = [stop.slope]
    for a, c in zip(numbers.a[1:], numbers.c[1:], strict=True):
        t = end if c == 1.0 else _time(stop.t + c * stop.tried, state)
        stages.append(equations.rates(t, _combined(state, dt, a, stages)))
    return [*stages, _combined(state, dt, numbers.b, stages)]


def _time(t: float, like: Tensor) -> Tensor:
    """Rounded once, from float64."""
    return torch.tensor(t, dtype=torch.float64, device="cpu").to(like)


def _combined(state: Tensor, dt: Tensor, weights: Sequence[float], stages: list[Tensor]) -> Tensor:
    for weight, stage in zip(weights, stages, strict=True):
        if weight != 0.0:
            state = state + (dt * weight) * stage
    return state


def _evaluated(
    field: EvaluatedField, direction: float, t: Tensor, states: Tensor, c: Tensor | None
) -> Tensor:
    """dy/ds at solver time."""
    parameters = tuple(p.detach() for p in field.parameters)
    time = (direction * t).expand(len(states))
    return direction * field.program.interpret(time, states, parameters, c)


def _segments(field: EvaluatedField) -> list[tuple[int, int]]:
    """Of the state: the first row of each, and the first after it."""
    return list(pairwise(accumulate(field.shape.segments, initial=0)))
