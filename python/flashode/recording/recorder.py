"""Watching the plans of solves: ``record`` counts what they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flashode.blocks import Block
from flashode.engines import name_of, watchers
from flashode.engines.reported import ReportedPlan
from flashode.problem import Continuous
from flashode.recording.report import Report, Solves

if TYPE_CHECKING:
    from flashode.engines import Choice
    from flashode.engines.protocol import Plan
    from flashode.problem import Gradient, Problem

    Watcher = Callable[[Problem, Gradient, Choice, Plan], Plan]


def record() -> Block[Report]:
    """Record the solves that this process starts in the ``with`` block, in all its threads.

    The reverse passes of these solves count, whenever they come. Example::

        with flashode.record() as report:
            train()
        print(report)

    Returns:
        A context manager of a :class:`Report`, which fills with each solve.
    """
    return Block(_recording, "record()")


@contextmanager
def _recording() -> Iterator[Report]:
    report = Report()

    def recorded(problem: Problem, gradient: Gradient, choice: Choice, plan: Plan) -> Plan:
        entry = report.entry(_solves(problem, gradient, choice, plan))
        return ReportedPlan(plan, solved=entry.add_solve, reversed_=entry.add_reverse)

    with watching(recorded):
        yield report


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Calls a watcher of the plan for each solve that this process starts in the block, in all threads.

    Args:
        watcher: Returns the plan that runs in its place.
    """
    watchers.append(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)


def _solves(problem: Problem, gradient: Gradient, choice: Choice, plan: Plan) -> Solves:
    """An entry for a solve, with nothing counted yet."""
    called = None
    if problem.event is not None and plan.event_called is not None:
        name = name_of(problem.event.function)
        called = f"{name}, an event function, is called from Python because {plan.event_called.reason}."
    return Solves(
        name_of(problem.func),
        _mode(problem, gradient) + (" (called)" if called else ""),
        problem.method.name,
        plan.engine,
        next((declined.reason for declined in choice.declined.values()), None),
        called,
    )


def _mode(problem: Problem, gradient: Gradient) -> str:
    if problem.every_step:
        return "odeint_dense"
    name = "odeint_adjoint" if isinstance(gradient, Continuous) else "odeint"
    return name if problem.event is None else f"{name}, event"
