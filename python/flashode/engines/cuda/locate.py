"""Where a solve left the numbers: looked for by torch, once it has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flashode import _flashode
from flashode.engines.compiled.outcome import Outcome
from flashode.engines.compiled.requests import EvaluatedField, ForwardRequest
from flashode.methods import Tableau
from flashode.problem import FixedOptions


def located(request: ForwardRequest, stand: Any, rows: Tensor, outcome: Any) -> Outcome:
    """The outcome of a solve that failed, with the trajectory and the row that are to blame, if any are.

    As in the native engine: the state at the start of the step if that is not finite, else its slope, else
    the first stage of the step that is not, else its end.

    Args:
        request: The solve.
        stand: Where it stopped.
        rows: ``(5, tiles, width, lanes)``: states at both ends of the step, their slopes, its middle.
        outcome: What the kernel says.
    """
    status = _flashode.Status
    adaptive = request.integrator.method.control == "error"
    trajectories = rows.transpose(2, 3).flatten(1, 2)[:, : request.field.shape.batch]
    state, slope = trajectories[stand.half], trajectories[2 + stand.half]
    found: tuple[Any, tuple[int, int]] | None = None
    if outcome.status == status.nonfinite_state and adaptive:
        place = _first(request, ~(state.abs() <= torch.finfo(state.dtype).max / 64))
        found = None if place is None else (status.nonfinite_state, place)
    elif outcome.status in (status.nonfinite_field, status.nonfinite_state, status.underflow):
        found = _first_nonfinite(request, stand, state, slope, trajectories[3 - stand.half])
    if found is None:
        return outcome  # type: ignore[no-any-return]
    which, (trajectory, row) = found
    return outcome.located(status=which, trajectory=trajectory, row=row)  # type: ignore[no-any-return]


def _first_nonfinite(
    request: ForwardRequest, stand: Any, state: Tensor, slope: Tensor, end_slope: Tensor
) -> tuple[Any, tuple[int, int]] | None:
    status = _flashode.Status
    for values, what in ((state, status.nonfinite_state), (slope, status.nonfinite_field)):
        place = _first(request, ~values.isfinite())
        if place is not None:
            return what, place
    *stages, end = _step(request, stand, state, slope)
    for values, what in (*((k, status.nonfinite_field) for k in stages), (end, status.nonfinite_state)):
        place = _first(request, ~values.isfinite())
        if place is not None:
            return what, place
    place = _first(request, ~end_slope.isfinite())
    return None if place is None else (status.nonfinite_field, place)


def _first(request: ForwardRequest, is_wrong: Tensor) -> tuple[int, int] | None:
    """The first element of ``(batch, width)``: by segment, then trajectory, then row."""
    begin = 0
    for rows in request.field.shape.segments:
        places = is_wrong[:, begin : begin + rows].nonzero()
        if len(places):
            trajectory, row = places[0].tolist()
            return trajectory, begin + row
        begin += rows
    return None


def _step(request: ForwardRequest, stand: Any, state: Tensor, slope: Tensor) -> list[Tensor]:
    """The slopes of the stages of the step tried last, and its end."""
    field, options = request.field, request.integrator.options
    tableau = request.integrator.method
    assert isinstance(tableau, Tableau)
    numbers = tableau.floats()
    dt = torch.tensor(stand.tried, dtype=state.dtype, device=state.device)
    infinity = torch.full((), torch.inf, dtype=state.dtype)
    end = torch.tensor(stand.t + stand.tried, dtype=torch.float64).to(state.dtype)
    if tableau.control == "error" or (isinstance(options, FixedOptions) and options.perturb):
        end = torch.nextafter(end, -infinity)
    stages = [slope]
    for a, c in zip(numbers.a[1:], numbers.c[1:], strict=True):
        t = end if c == 1.0 else torch.tensor(stand.t + c * stand.tried, dtype=torch.float64)
        stages.append(_rates(field, t.to(state.dtype), _combined(state, dt, a, stages)))
    return [*stages, _combined(state, dt, numbers.b, stages)]


def _combined(state: Tensor, dt: Tensor, weights: tuple[float, ...], stages: list[Tensor]) -> Tensor:
    for weight, stage in zip(weights, stages, strict=True):
        if weight != 0.0:
            state = state + (dt * weight) * stage
    return state


def _rates(field: EvaluatedField, t: Tensor, state: Tensor) -> Tensor:
    """dy/ds at solver time."""
    direction = field.shape.direction
    time = (direction * t).to(state.device).expand(len(state))
    parameters = tuple(p.detach() for p in field.parameters)
    return direction * field.program.interpret(time, state, parameters, field.c)
