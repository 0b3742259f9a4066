"""Times contenders with one workload: every answer is checked first, then they run in turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor

import flashode
from flashode.bench.contenders import (
    CONTINUOUS,
    DISCRETE,
    FORWARD,
    Contender,
    Prepared,
    Unsupported,
    contender,
)
from flashode.bench.measuring.breakdown import breakdown
from flashode.bench.measuring.isolation import Died, each_or_together, isolated
from flashode.bench.measuring.memory import raised
from flashode.bench.records.comparison import OURS
from flashode.bench.records.record import Parameter, Record
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.reference import excess, reference, shortcoming
from flashode.bench.tasks.workloads import Workload


@dataclass(frozen=True)
class Effort:
    """How much time a measurement may take.

    Attributes:
        samples: Of each contender; fewer where they would take longer than `budget`.
        fewest: But so many at least.
        shortest: Of a sample in seconds, far above what reading the clock costs; fast runs share a sample.
        budget: For the samples of one contender, in seconds.
        patience: For a single run, in seconds: a contender whose runs take longer is not timed. The first,
            which compiles, may take `COMPILING` times as long.
        peaks: Whether memory is measured too.
    """

    samples: int = 9
    fewest: int = 3
    shortest: float = 0.02
    budget: float = 20.0
    patience: float = 60.0
    peaks: bool = True


COMPILING = 5.0


@dataclass
class _Entry:
    record: Record
    prepared: Prepared
    answer: Answer
    counted_in: float = 0.0
    repeats: int = 1
    samples: int = 0


def race(
    study: str,
    workload: Workload,
    names: Sequence[tuple[str, str]],
    effort: Effort,
    parameters: Mapping[str, Parameter] | None = None,
    truth: Answer | None = None,
) -> list[Record]:
    """Checks and times contenders, by library and mode, with one workload.

    Those that are not installed, cannot do the work, or answer wrongly are in the result with the reason.
    To be called in a process of its own.

    Args:
        study: Name of the study that asks.
        workload: What is solved.
        names: Of the contenders.
        effort: How long it may take.
        parameters: What the study varies.
        truth: The true states, for a study of their errors: an answer is then wrong only where it is far
            beyond the tolerance. None for `reference`, and for answers that have to be as good as usual.
    """
    records, entries = [], []
    for name in names:
        one = contender(*name)
        record = Record(study, workload.name, parameters or {}, *name, one.label)
        records.append(record)
        entry = _enter(record, workload, one, effort)
        if entry is not None:
            entries.append(entry)
    patient = [entry for entry in entries if entry.record.failure is None]
    if truth is None:
        _check(workload, entries)
    else:
        _measure_errors(workload, entries, truth)
    racing = [entry for entry in patient if entry.record.failure is None]
    for entry in racing:
        _calibrate(entry, effort)
    for turn in range(max((entry.samples for entry in racing), default=0)):
        gc.collect()
        # The first one runs with the caches of the one before, so the order changes.
        for entry in racing[turn % len(racing) :] + racing[: turn % len(racing)]:
            if turn < entry.samples:
                entry.record.seconds.append(_time(entry.prepared, entry.repeats))
    # After the times, because an allocator that was made to give everything back is slow for a long while. A
    # wrong answer's memory too, because it tells whether there is enough for larger work.
    for entry in patient if effort.peaks else ():
        entry.record.peak_bytes = raised(entry.prepared.run, workload.device)
    for entry in racing:
        record = entry.record
        # Another engine of ours has other parts.
        native = record.engine == "native"
        if native and (record.library, record.mode) == (OURS, FORWARD) and record.median is not None:
            parts = breakdown(workload)
            record.parts = None if parts is None else asdict(parts)
    # At the end, because it captures the field, which the first run is to pay for.
    flops, state_bytes = _work(workload)
    for record in records:
        record.flops, record.state_bytes = flops, state_bytes
    return records


def isolated_race(
    threads: int,
    study: str,
    workload: Workload,
    names: Sequence[tuple[str, str]],
    effort: Effort,
    parameters: Mapping[str, Parameter] | None = None,
) -> list[Record]:
    """Runs `race` in a process of its own, on so many threads; if a contender kills it, one by one."""

    def lost(name: tuple[str, str], reason: Died) -> Record:
        record = Record(study, workload.name, parameters or {}, *name, contender(*name).label)
        record.failure = str(reason)
        record.wrong = record.library.startswith("flashode")
        return record

    def measure(some: Sequence[tuple[str, str]]) -> list[Record]:
        return isolated(threads, race, study, workload, some, effort, parameters)

    return each_or_together(names, measure, lost)


def _enter(record: Record, workload: Workload, one: Contender, effort: Effort) -> _Entry | None:
    """The contender with its first answer; where there is none, the record says why."""
    if one.missing is not None:
        record.failure = one.missing
        return None
    try:
        prepared = one.prepare(workload)
        began = time.perf_counter()
        raw = prepared.run()
        record.first_seconds = time.perf_counter() - began
        answer = prepared.read(raw)
        if len(answer.states) != workload.times.count:
            raise ValueError(f"{len(answer.states)} states for {workload.times.count} times")
        seconds = record.first_seconds
        if effort.patience < seconds <= COMPILING * effort.patience:
            seconds = _time(prepared, 1)
        if seconds > effort.patience:
            record.failure = f"one run took {seconds:.0f} s"
            return _Entry(record, prepared, answer)
        began = time.perf_counter()
        evaluations = prepared.count()
        counted_in = time.perf_counter() - began
    except Unsupported as reason:
        record.failure = f"not supported: {reason}"
        return None
    except Exception as error:  # whatever a peer raises is that peer's result, not the end of the others'
        record.failure = f"{type(error).__name__}: {error}".splitlines()[0]
        record.wrong = record.library.startswith("flashode")
        return None
    record.evaluations, record.backward_evaluations = evaluations.forward, evaluations.backward
    record.engine = evaluations.engine
    return _Entry(record, prepared, answer, counted_in)


def _measure_errors(workload: Workload, entries: Sequence[_Entry], truth: Answer) -> None:
    for entry in entries:
        entry.record.error = entry.answer.error(truth)
        lacking = excess(workload, entry.answer, truth)
        if lacking is not None:
            entry.record.failure, entry.record.wrong = lacking, True


def _check(workload: Workload, entries: Sequence[_Entry]) -> None:
    """Gives each record its errors, and what is wrong about the answer."""
    modes = {entry.record.mode for entry in entries}
    truth = reference(workload, gradients=modes != {FORWARD}) if modes else None
    for mode in modes:
        same = [entry for entry in entries if entry.record.mode == mode]
        standard = _standard(workload, mode, same)
        right = truth or standard
        for entry in same:
            record = entry.record
            try:
                record.error = entry.answer.error(right)
                record.gradient_error = entry.answer.gradient_error(right)
                lacking = shortcoming(workload, entry.answer, standard, right)
            except ValueError as error:  # of another shape
                lacking = f"wrong answer: {error}"
            if lacking is not None:
                record.failure, record.wrong = lacking, True


def _standard(workload: Workload, mode: str, entries: Sequence[_Entry]) -> Answer:
    """The answer whose error counts as usual: torchdiffeq's, or that of our engine in plain PyTorch."""
    for entry in entries:
        if entry.record.library == "torchdiffeq":
            return entry.answer
    # Ways of a library's own to a gradient go through the adjoint equations too.
    known = mode if mode in {FORWARD, DISCRETE} else CONTINUOUS
    prepared = contender("flashode eager", known).prepare(workload)
    return prepared.read(prepared.run())


def _work(workload: Workload) -> tuple[int | None, int]:
    """Arithmetic of an evaluation for the whole batch, where the field is captured; bytes of the state."""
    field, y0, times = workload.make(device="cpu")
    explanation = flashode.explain(field, y0, times)
    flops = None if explanation.program is None else explanation.program.flops(explanation.trajectories)
    return flops, sum(part.nbytes for part in ((y0,) if isinstance(y0, Tensor) else y0))


def _calibrate(entry: _Entry, effort: Effort) -> None:
    """Finds how often to run within a sample and how many samples there is time for; that is the warm-up."""
    # The first run paid for compiling; the one that counted tells whether there is time to warm up.
    if entry.counted_in > effort.budget / effort.samples:
        entry.samples = max(effort.fewest, int(effort.budget / entry.counted_in))
        return
    _time(entry.prepared, 1)
    repeats = 1
    while (seconds := _time(entry.prepared, repeats) * repeats) < effort.shortest:
        repeats = max(2 * repeats, min(100 * repeats, int(effort.shortest / seconds * repeats)))
    entry.repeats = repeats
    entry.samples = max(effort.fewest, min(effort.samples, int(effort.budget / seconds)))


def _time(prepared: Prepared, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        prepared.run()
    return (time.perf_counter() - began) / repeats
