"""An engine made of a backend: the way from a problem to a plan."""

from __future__ import annotations

from flashode.capture import capture
from flashode.declined import Declined
from flashode.engines.compiled.backend import Backend
from flashode.engines.compiled.events import call_obstacle, make_event
from flashode.engines.compiled.field import make_field
from flashode.engines.compiled.plan import CompiledPlan
from flashode.engines.compiled.scope import refusal
from flashode.engines.compiled.start import start_of
from flashode.problem import Gradient, Problem


class CompiledEngine:
    """Captured fields, solved by a backend."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def name(self) -> str:
        """The backend's."""
        return self._backend.name

    def plan(self, problem: Problem, gradient: Gradient) -> CompiledPlan | Declined:
        """A plan, or the first thing that keeps this problem from running here."""
        backend = self._backend
        refused = refusal(problem, gradient, backend.device)
        if refused is not None:
            return refused
        y0 = problem.unflatten(problem.y0)
        captured = capture(problem.func, y0, lambda: start_of(problem), problem.settings.verify)
        if isinstance(captured, Declined):
            return captured
        field = make_field(backend, problem, gradient, captured)
        if isinstance(field, Declined):
            return field
        event = None if problem.event is None else make_event(backend, problem, problem.event)
        obstacle = call_obstacle(backend, problem, event, field)
        if obstacle is not None:
            return obstacle
        return CompiledPlan(backend, problem, gradient, field, event)
