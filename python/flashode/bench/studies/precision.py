"""How accurate for how much work: tighter and tighter tolerances, for each method on each problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from flashode.bench.contenders import FORWARD, contender, contenders
from flashode.bench.measuring.isolation import Died, each_or_together, isolated
from flashode.bench.measuring.race import Effort, race
from flashode.bench.records.record import Parameter, Record
from flashode.bench.studies import Case, Settings, register
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.problems import PROBLEMS
from flashode.bench.tasks.reference import reference
from flashode.bench.tasks.workloads import Workload

NAME = "precision"
_TIGHT = (1e-3, 1e-5, 1e-7, 1e-9, 1e-11)
# A method of low order would take steps by the hundred thousand at the tightest.
TOLERANCES: Mapping[str, tuple[float, ...]] = {
    "dopri5": _TIGHT,
    "dopri8": _TIGHT[::2],
    "tsit5": _TIGHT[::2],
    "bosh3": _TIGHT[:2],
}
QUICK_PROBLEMS = ("D3",)
QUICK: Mapping[str, tuple[float, ...]] = {"dopri5": (1e-3, 1e-7)}
# Ratios of many decades do not need more than a few samples, and there are a thousand points.
SAMPLES = 3
SHORTEST = 0.005
BUDGET = 0.1
PATIENCE = 2.0
# As tight as float64 allows: the errors at the tightest tolerance of a diagram have to be seen in full.
TRUTH = 1e-13


@dataclass
class _Problem:
    """A problem, with its true states once they are known: its methods share them."""

    workload: Workload
    threads: int
    truth: list[Answer] = field(default_factory=list)

    def measure(
        self, method: str, tolerances: Sequence[float], names: Sequence[tuple[str, str]], effort: Effort
    ) -> list[Record]:
        """The records of one diagram."""
        if not self.truth:
            self.truth.append(isolated(self.threads, true_states, self.workload))
        solved = replace(self.workload, method=method)

        def measure(some: Sequence[tuple[str, str]]) -> list[Record]:
            return isolated(self.threads, diagram, solved, tolerances, some, effort, self.truth[0])

        def lost(name: tuple[str, str], reason: Died) -> Record:
            record = Record(NAME, solved.name, {"method": method}, *name, contender(*name).label)
            record.failure, record.wrong = str(reason), record.library.startswith("flashode")
            return record

        return each_or_together(names, measure, lost)


def true_states(workload: Workload) -> Answer:
    """The most exact solution of a problem that can be computed."""
    truth = reference(workload, gradients=False, tolerance=TRUTH)
    assert truth is not None, f"{workload.name} draws random numbers"
    return truth


def diagram(
    workload: Workload,
    tolerances: Sequence[float],
    names: Sequence[tuple[str, str]],
    effort: Effort,
    truth: Answer,
) -> list[Record]:
    """Each contender at each tolerance, the loosest first. To be called in a process of its own.

    A contender that gives no answer, or takes longer than there is patience for, has no record after that.
    """
    records: list[Record] = []
    running = tuple(names)
    for tolerance in tolerances:
        solved = replace(workload, rtol=tolerance, atol=tolerance)
        parameters: dict[str, Parameter] = {"method": workload.method, "tolerance": tolerance}
        measured = race(NAME, solved, running, effort, parameters, truth)
        records += measured
        running = tuple((one.library, one.mode) for one in measured if _goes_on(one))
    return records


def _goes_on(record: Record) -> bool:
    # An answer without a time took too long. A wrong one may be right at a tighter tolerance.
    return record.error is not None and (record.wrong or bool(record.seconds))


@register(NAME, "How accurate is it for the work?")
def cases(settings: Settings) -> Iterator[Case]:
    """A case for each problem with each method: one diagram."""
    effort = replace(
        settings.effort,
        samples=min(settings.effort.samples, SAMPLES),
        shortest=min(settings.effort.shortest, SHORTEST),
        budget=min(settings.effort.budget, BUDGET),
        patience=min(settings.effort.patience, PATIENCE),
        fewest=1,
        peaks=False,
    )
    names = tuple((one.library, one.mode) for one in contenders(FORWARD) if settings.wants(one))
    chosen = settings.workloads or (QUICK_PROBLEMS if settings.quick else tuple(PROBLEMS))
    for name in (name for name in chosen if name in PROBLEMS):
        workload = replace(PROBLEMS[name], device=settings.device)
        problem = _Problem(workload, settings.threads)
        for method, tolerances in (QUICK if settings.quick else TOLERANCES).items():
            measure = partial(problem.measure, method, tolerances, names, effort)
            yield Case(f"precision, {workload.name}, {method}", measure)
