"""Event functions, captured as fields or called, and what else of the user's is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from flashode.capture import Start, capture, obstacle_beside
from flashode.capture.events import SPARE, event_field
from flashode.declined import Declined, Reason
from flashode.dispatch import cached
from flashode.engines.compiled.backend import Backend
from flashode.engines.compiled.field import CapturedField, make_field
from flashode.engines.compiled.start import start_of
from flashode.problem import DISCRETE, AdaptiveOptions, Event, Problem, as_numbers
from flashode.state import Structure, components

# Called while a solve goes on, not before it.
_WITHIN = ("event function", "norm")


def make_event(backend: Backend, problem: Problem, event: Event) -> CapturedField | Declined:
    """The problem's event function, captured, or why it is called instead."""
    structure, spare = problem.structure, _spare(problem.y0.dtype, problem.y0.device)

    def start() -> Start:
        at = start_of(problem)
        return at._replace(y=(*components(at.y), spare))

    state = (*components(problem.unflatten(problem.y0)), spare)
    function = event_field(event.function, as_numbers, structure.is_tuple)
    captured = capture(function, state, start, problem.settings.verify)
    if isinstance(captured, Declined):
        return captured
    if captured.counters:
        what = "it counts its calls, which the compiled module does not"
        return Declined(Reason(what, "let the event function count nothing"))
    if captured.carried:
        what = "each trajectory reads its own part of a tensor of the function's"
        return Declined(Reason(what, "make that tensor a part of y0, with zero rates"))
    return make_field(backend, problem, DISCRETE, captured, Structure((*structure.shapes, spare.shape), True))


@cached
def _spare(dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    return torch.zeros(SPARE, dtype=dtype, device=device)


def call_obstacle(
    backend: Backend, problem: Problem, event: CapturedField | Declined | None, field: CapturedField
) -> Declined | None:
    """Why functions beside the field may not be called during its solve, or a captured event not be used."""
    for name, function in _called(problem, event):
        if name in _WITHIN and not backend.calls_functions:
            return Declined(f"its {name} is called from Python, in the midst of the solve")
        obstacle = obstacle_beside(problem.func, function)
        if obstacle is not None:
            uncaptured = event.reasons if isinstance(event, Declined) and name == "event function" else ()
            return Declined(
                Reason(f"its {name} {obstacle}", "let the two read nothing in common that can change"),
                *(replace(each, what=f"its {name} is not captured: {each.what}") for each in uncaptured),
            )
    if isinstance(event, CapturedField):
        counted = {place for _, place, _ in field.capture.counters}
        if not event.capture.numbers.isdisjoint(counted):
            return Declined("its event function reads a number of the same name as one that it counts with")
    return None


def _called(
    problem: Problem, event: CapturedField | Declined | None
) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The functions beside the field that a solve calls, and what they are called."""
    if problem.event is not None and isinstance(event, Declined):
        yield "event function", problem.event.function
    integration = problem.integration
    if integration.norm is not None and isinstance(integration.options, AdaptiveOptions):
        yield "norm", integration.norm
    if integration.grid_constructor is not None:
        yield "grid constructor", integration.grid_constructor
