"""The parts of our own solve's time: Python, the field, the arithmetic of the steps, and waiting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from flashode.bench.contenders import FORWARD, contender
from flashode.bench.records.comparison import OURS
from flashode.bench.tasks.workloads import Workload
from flashode.engines.compiled.plan import CompiledPlan
from flashode.engines.native import evaluation_seconds
from flashode.engines.protocol import Plan
from flashode.recording import watching

SOLVES = 9
# Least seconds of a measurement of the field by itself.
LONG_ENOUGH = 0.01
WARM_UP = 0.002


@dataclass(frozen=True)
class Breakdown:
    """Seconds of one solve without gradients.

    Attributes:
        python: Before and after the compiled module: capture's checks, autograd, making tensors.
        field: Evaluations of the field, by as many without steps.
        steps: What remains: stages, error norms, outputs, and what these do to the caches of the field.
        waiting: The calling thread's for the others at the end of each step.
    """

    python: float
    field: float
    steps: float
    waiting: float


def breakdown(workload: Workload) -> Breakdown | None:
    """The parts of our solve of a workload; None where no engine runs it that measures them."""
    run = contender(OURS, FORWARD).prepare(workload).run
    timed = _timed(run)
    if timed is None:
        return None
    steps = _enough(timed[1])
    rows = []
    # In turns: a processor that slows down slows all. A few solves fill the caches again.
    for _ in range(SOLVES):
        began = time.perf_counter()
        while time.perf_counter() - began < WARM_UP:
            run()
        timed = _timed(run)
        assert timed is not None
        took, plan = timed
        longer, shorter = evaluation_seconds(plan, 2 * steps), evaluation_seconds(plan, steps)
        each = (longer - shorter) / (steps * plan.problem.tableau.stages)
        assert plan.outcome is not None and plan.outcome.waited is not None
        inside, waited = plan.outcome.seconds, plan.outcome.waited
        field = plan.outcome.evaluations * each
        rows.append((took - inside, field, inside - field - waited, waited))
    return Breakdown(*map(statistics.median, zip(*rows, strict=True)))


def _timed(run: Callable[[], object]) -> tuple[float, CompiledPlan] | None:
    """The seconds of a run, and the plan that ran in it; None where none did that measures its parts."""
    chosen: list[Plan] = []

    def note(problem: object, gradient: object, choice: object, plan: Plan) -> Plan:
        chosen.append(plan)
        return plan

    with watching(note):
        began = time.perf_counter()
        run()
        took = time.perf_counter() - began
    plan = chosen[-1] if chosen else None
    if not isinstance(plan, CompiledPlan) or plan.outcome is None or plan.outcome.waited is None:
        return None
    return took, plan


def _enough(plan: CompiledPlan) -> int:
    """A number of steps whose evaluations of the field take long enough to be timed."""
    steps = 1
    while True:
        took = evaluation_seconds(plan, steps)
        if took >= LONG_ENOUGH:
            return steps
        steps = max(2 * steps, int(1.2 * steps * LONG_ENOUGH / max(took, 1e-9)))
