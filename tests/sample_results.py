"""Invented results of a run, small enough to know every number that reports make of them."""

from flashode.bench.records.file import Results
from flashode.bench.records.record import Record


def timed(study: str, case: str, library: str, mode: str, median: float, **parameters: float) -> Record:
    record = Record(study, case, parameters, library, mode, f"{library} {mode}", seconds=[median] * 5)
    record.evaluations, record.flops, record.state_bytes = 100, 10_000, 800
    return record


def gradient(library: str, steps: float, exponent: float) -> Record:
    record = timed("adjoint", "steps", library, "discrete", 1e-3 * steps**exponent, steps=steps)
    record.peak_bytes, record.gradient_error, record.backward_evaluations = int(1000 * steps), 1e-6, 7
    return record


def sample_results() -> Results:
    """A run with a loss, a failure, and a sweep of known exponents."""
    results = Results("2026-01-02T03:04:05+00:00", "flashode bench <again>", "abc", quick=False, threads=2)
    results.machine, results.versions = {"processor": "a <fast> one"}, {"torch": "2.13.0"}
    results.peaks = {"fma float32 1": 1e10, "fma float32 2": 2e10, "bandwidth 2": 1e9}
    results.records = [
        timed("workloads", "demo", "flashode", "forward", 1e-3),
        timed("workloads", "demo", "torchdiffeq", "forward", 0.05),
        timed("workloads", "demo", "diffrax", "forward", 4e-4),
        *(gradient("flashode", steps, 1.0) for steps in (10, 100, 1000)),
        *(gradient("torchdiffeq", steps, 2.0) for steps in (10, 100, 1000)),
        timed("precision", "D3", "flashode", "forward", 1e-3, tolerance=1e-3),
        timed("threads", "wide", "flashode", "forward", 1e-3, threads=1),
        Record("workloads", "demo", {}, "torchode", "forward", "torchode", failure="torchode <is> missing"),
    ]
    results.records[-3].error = 1e-4
    return results
