"""Event functions, captured as fields or called, and what else of the user's is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flashode.capture import capture, meddling
from flashode.capture.events import event_field
from flashode.declined import Declined, Reason
from flashode.engines.compiled.backend import Backend
from flashode.engines.compiled.field import CapturedField, make_field
from flashode.problem import DISCRETE, AdaptiveOptions, Problem, as_numbers


def make_event(backend: Backend, problem: Problem) -> CapturedField | Declined | None:
    """The problem's event function, captured; why it is called instead; or None where there is none."""
    event = problem.event
    if event is None:
        return None
    y0 = problem.unflatten(problem.y0.detach())
    captured = capture(
        event_field(event.function, as_numbers, event.signs, y0),
        (problem.direction * problem.t[0]).detach().to(problem.y0.dtype),
        y0,
        problem.settings.verify,
        problem.direction * problem.times[-1],
    )
    if isinstance(captured, Declined):
        return captured
    if captured.counters:
        what = "it counts its calls, which the compiled module does not"
        return Declined(Reason(what, "let the event function count nothing"))
    if captured.carried:
        what = "each trajectory reads its own part of a tensor of the function's"
        return Declined(Reason(what, "make that tensor a part of y0, with zero rates"))
    return make_field(backend, problem, DISCRETE, captured, of_event=True)


def call_obstacle(
    problem: Problem, event: CapturedField | Declined | None, field: CapturedField
) -> str | None:
    """What functions beside the field may have to do with its counters, or do to what it reads.

    Counters are brought up to date at the end, and a captured field presumes that nothing else changes.
    """
    for name, function in _called(problem, event):
        does = meddling(function, problem.func, field.capture)
        if does is not None:
            return f"its {name} {does}"
    if not isinstance(event, CapturedField):
        return None
    if event.capture.numbers.isdisjoint(place for _, place, _ in field.capture.counters):
        return None
    return "its event function reads a number of the same name as one that it counts with"


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
