"""Where the time of our own solve goes: Python, the field, the arithmetic of the steps, and waiting."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch

from flashode.bench.comparison import OURS
from flashode.bench.contenders import FORWARD, contender
from flashode.bench.workloads import Workload
from flashode.engines import watchers
from flashode.engines.native_plan import NativePlan
from flashode.engines.plan import Plan

SOLVES = 7
# Of evaluating the field by itself, in seconds.
LONG_ENOUGH = 0.01


@dataclass(frozen=True)
class Breakdown:
    """Seconds of one solve without gradients.

    Attributes:
        python: Before and after the compiled module: capture's checks, autograd, making tensors.
        field: Evaluations of the field, by as many of it alone.
        steps: What remains: stages, error norms, outputs, and what these do to the caches of the field.
        waiting: The calling thread's for the others at the end of each step.
    """

    python: float
    field: float
    steps: float
    waiting: float


def breakdown(workload: Workload, seconds: float) -> Breakdown | None:
    """The parts of a solve that takes so many seconds; None where the compiled engine does not run it."""
    with torch.no_grad():
        plan = _plan(workload)
        if not isinstance(plan, NativePlan):
            return None
        outcomes, evaluations = [], []
        steps = _enough(plan)
        # In turns: a processor that slows down slows both. The first solve of each fills the caches again.
        for _ in range(SOLVES):
            plan.forward(record=False)
            plan.forward(record=False)
            outcomes.append(plan.outcome)
            evaluations.append(plan.evaluate(steps))
    alone = outcomes[0].evaluations * statistics.median(evaluations)
    inside = statistics.median(outcome.seconds for outcome in outcomes)
    waited = statistics.median(outcome.waited for outcome in outcomes)
    return Breakdown(seconds - inside, alone, inside - alone - waited, waited)


def _plan(workload: Workload) -> Plan:
    """How our solve of the workload is done."""
    seen: list[Plan] = []

    def watch(problem: object, adjoint: object, choice: object, plan: Plan) -> Plan:
        seen.append(plan)
        return plan

    watchers.append(watch)
    try:
        contender(OURS, FORWARD).prepare(workload).run()
    finally:
        watchers.remove(watch)
    return seen[0]


def _enough(plan: NativePlan) -> int:
    """As many steps as make the evaluations of the field that they take long enough to be timed."""
    steps = 1
    while True:
        each = plan.evaluate(steps) * plan.stages
        if each * steps >= LONG_ENOUGH:
            return steps
        steps = max(2 * steps, int(1.2 * LONG_ENOUGH / max(each, 1e-9)))
