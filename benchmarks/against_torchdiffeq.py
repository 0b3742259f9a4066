"""Times flashode's compiled engine beside torchdiffeq: the same work in one process, answers checked first.

python -m benchmarks.against_torchdiffeq
python -m benchmarks.against_torchdiffeq --jobs demo:train flow:forward --runs 15
"""

import argparse
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
import torchdiffeq
from rich.console import Console
from rich.table import Table

import flashode
from benchmarks.jobs import Job, check_agreement, make_job
from benchmarks.workloads import SEED, WORKLOADS, Workload

MODES = ("forward", "train")
DEFAULT_JOBS = ("spiral:forward", "demo:train")
SHORTEST_SAMPLE = 0.005  # seconds: far above the clock's resolution and the cost of reading it


@dataclass(frozen=True)
class Row:
    """One line of the table; times are seconds for one solve."""

    workload: Workload
    mode: str
    theirs: list[float]
    ours: list[float]
    apart: float


def measure(workload: Workload, mode: str, runs: int) -> Row:
    """Checks the two answers against each other, then times both solvers in turn."""
    theirs = make_job(workload, mode, torchdiffeq.odeint)
    ours = make_job(workload, mode, flashode.odeint)
    apart = check_agreement(workload, theirs(), ours())
    their_repeats, our_repeats = _repeats(theirs), _repeats(ours)
    row = Row(workload, mode, [], [], apart)
    for _ in range(runs):
        row.theirs.append(_time(theirs, their_repeats))
        row.ours.append(_time(ours, our_repeats))
    return row


def _repeats(job: Job) -> int:
    """How often a job is run within one sample; finding out is the warm-up."""
    repeats = 1
    while (seconds := _time(job, repeats) * repeats) < SHORTEST_SAMPLE:
        repeats = max(2 * repeats, min(100 * repeats, int(SHORTEST_SAMPLE / seconds * repeats)))
    return repeats


def _time(job: Job, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        job()
    return (time.perf_counter() - began) / repeats


def show(rows: Sequence[Row], runs: int, console: Console) -> None:
    """Prints the table and everything its figures depend on."""
    table = Table(title=f"median of {runs} runs; times for one solve")
    for heading in ("workload", "job", "torchdiffeq", "flashode", "ratio", "difference / allowed"):
        table.add_column(heading, justify="left" if heading in ("workload", "job") else "right")
    for row in rows:
        theirs, ours = statistics.median(row.theirs), statistics.median(row.ours)
        table.add_row(
            row.workload.name,
            row.mode,
            _readable(theirs),
            _readable(ours),
            f"{theirs / ours:.1f}×",
            f"{row.apart:.2f}",
        )
    console.print(table)
    for workload in dict.fromkeys(row.workload.name for row in rows):
        described = WORKLOADS[workload]
        console.print(
            f"{workload}: {described.summary}; {described.method}, "
            f"rtol {described.rtol:g}, atol {described.atol:g}, float32, seed {SEED}"
        )
    build = ", ".join(f"{name} {value}" for name, value in flashode.build_info().items())
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchdiffeq", "flashode"))
    console.print(f"machine: {_processor()}, {torch.get_num_threads()} torch threads, {platform.platform()}")
    console.print(f"versions: Python {platform.python_version()}, {versions}")
    console.print(f"build: {build}")
    console.print(f"command: {shlex.join(['python', '-m', 'benchmarks.against_torchdiffeq', *sys.argv[1:]])}")


def _readable(seconds: float) -> str:
    return f"{seconds * 1e3:.3f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def _processor() -> str:
    described = Path("/proc/cpuinfo")
    names = described.read_text().splitlines() if described.exists() else []
    models = [line.partition(":")[2].strip() for line in names if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _job(text: str) -> tuple[Workload, str]:
    name, _, mode = text.partition(":")
    if name not in WORKLOADS or mode not in MODES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not WORKLOAD:JOB; workloads: {', '.join(WORKLOADS)}; jobs: {', '.join(MODES)}"
        )
    return WORKLOADS[name], mode


def main() -> None:
    """Reads the options, measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--jobs", nargs="+", type=_job, metavar="WORKLOAD:JOB", default=[_job(j) for j in DEFAULT_JOBS]
    )
    parser.add_argument("--runs", type=int, default=15, help="samples of each solver (default: 15)")
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error(f"argument --runs: must be at least 1, got {arguments.runs}")
    with flashode.use_engine("native"):
        rows = [measure(workload, mode, arguments.runs) for workload, mode in arguments.jobs]
    show(rows, arguments.runs, Console(soft_wrap=True, highlight=False))


if __name__ == "__main__":
    main()
