"""Event functions in the compiled module: captured as fields, or called."""

from __future__ import annotations

from typing import Any

from flashode.capture import capture
from flashode.capture.events import event_field
from flashode.declined import Declined
from flashode.engines.native_field import NativeField, make_field
from flashode.problem import Problem


def make_event(module: Any, problem: Problem) -> NativeField | Declined | None:
    """The problem's event function, captured; why it is called instead; or None where there is none."""
    event = problem.event
    if event is None:
        return None
    y0 = problem.unflatten(problem.y0.detach())
    captured = capture(
        event_field(event.function, event.signs, y0),
        (problem.direction * problem.t[0]).detach().to(problem.y0.dtype),
        y0,
        problem.verify,
    )
    if isinstance(captured, Declined):
        return captured
    if captured.counters:
        return Declined("it counts its calls, which the compiled module does not")
    if captured.carried:
        return Declined("each trajectory reads its own part of a tensor of the function's")
    return make_field(module, problem, captured, connected=False)


def reads_counters(event: NativeField | Declined | None, field: NativeField) -> bool:
    """Whether an event function may read what the field counts: that is brought up to date at the end."""
    if not isinstance(event, NativeField):
        return False
    return any(place in event.capture.numbers for _, place, _ in field.capture.counters)
