"""A run of the suite: case after case, and after each one everything so far in the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flashode.bench.machine import commit, load, machine, versions
from flashode.bench.measuring.isolation import Died, isolated
from flashode.bench.measuring.peaks import larger, peaks
from flashode.bench.measuring.race import Effort
from flashode.bench.records.file import Results
from flashode.bench.records.record import Record
from flashode.bench.studies import Case, Settings, Study

FULL = Effort()
QUICK = Effort(samples=5, fewest=1, shortest=0.01, budget=0.5, patience=10.0)


@dataclass(frozen=True)
class Task:
    """A case of a study."""

    study: Study
    case: Case

    def measure(self) -> list[Record]:
        """What the case gives; a case whose process died is one record that says so."""
        try:
            return self.case.measure()
        except Died as reason:
            lost = Record(self.study.name, self.case.title, {}, "", "", "every contender")
            lost.failure = str(reason)
            return [lost]


def tasks(studies: Sequence[Study], settings: Settings) -> list[Task]:
    """Everything that is to be measured, in order."""
    return [Task(study, case) for study in studies for case in study.cases(settings)]


def begin(command: str, settings: Settings) -> Results:
    """Results that hold nothing yet but what they depend on."""
    return Results(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        commit=commit(),
        quick=settings.quick,
        threads=settings.threads,
        machine=machine(settings.device),
        versions=versions(),
    )


def measure(results: Results, wanted: Sequence[Task], out: Path, on_begin: Callable[[Task], None]) -> None:
    """Measures each task into the results and writes them; what is measured survives an interruption.

    The machine's peaks are taken before and after, as it may have been disturbed at either time.
    """
    _note_load(results, "before")
    results.peaks = isolated(results.threads, peaks, results.threads)
    for task in wanted:
        on_begin(task)
        results.records.extend(task.measure())
        results.write(out)
    results.peaks = larger(results.peaks, isolated(results.threads, peaks, results.threads))
    _note_load(results, "after")
    results.finished = True
    results.write(out)


def _note_load(results: Results, when: str) -> None:
    """What the machine was doing in the last minute; afterwards our contenders' own threads are in it."""
    averages = load()
    if averages is not None:
        results.machine[f"load average {when}"] = averages


def wrong_answers(results: Results) -> list[Record]:
    """What of ours answered wrongly, or failed where it should have answered."""
    return [one for one in results.records if one.wrong and one.library.startswith("flashode")]
