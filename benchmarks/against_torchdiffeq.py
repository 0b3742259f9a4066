"""Times flashode's compiled engine beside torchdiffeq: the same work in one process, answers checked first.

python -m benchmarks.against_torchdiffeq
python -m benchmarks.against_torchdiffeq --jobs demo:train flow:forward --runs 15
"""

import argparse
import os
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
from benchmarks.jobs import MODES, Job, check, make_job
from benchmarks.workloads import SEED, WORKLOADS, Workload

DEFAULT_JOBS = ("spiral:forward", "demo:train")
SHORTEST_SAMPLE = 0.005  # seconds: far above the clock's resolution and the cost of reading it


@dataclass(frozen=True)
class Row:
    """One line of the table; times are seconds for one solve."""

    workload: Workload
    mode: str
    theirs: list[float]
    ours: list[float]
    errors: tuple[float, float]


def measure(workload: Workload, mode: str, runs: int) -> Row:
    """Checks both answers, then times the solvers in turn."""
    theirs = make_job(workload, mode, torchdiffeq)
    ours = make_job(workload, mode, flashode)
    with torch.random.fork_rng(devices=()):
        # Fields that draw numbers draw the same ones.
        torch.manual_seed(SEED)
        their_answer = theirs()
        torch.manual_seed(SEED)
        our_answer = ours()
    errors = check(workload, mode, their_answer, our_answer)
    their_repeats, our_repeats = _repeats(theirs), _repeats(ours)
    row = Row(workload, mode, [], [], errors)
    for _ in range(runs):
        row.theirs.append(_time(theirs, their_repeats))
        row.ours.append(_time(ours, our_repeats))
    return row


def _repeats(job: Job) -> int:
    """How often a job is run within one sample; finding out is the warm-up."""
    job()  # The first call after another solver may pay for tidying up the heap that it left.
    repeats = 1
    while (seconds := _time(job, repeats) * repeats) < SHORTEST_SAMPLE:
        repeats = max(2 * repeats, min(100 * repeats, int(SHORTEST_SAMPLE / seconds * repeats)))
    return repeats


def _time(job: Job, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        job()
    return (time.perf_counter() - began) / repeats


def show(rows: Sequence[Row], runs: int, load: float, console: Console, module: str) -> None:
    """Prints the table and everything its figures depend on; `module` is what was run."""
    table = Table(title=f"median of {runs} runs; times for one solve", title_justify="left")
    for heading in ("workload", "job"):
        table.add_column(heading, no_wrap=True)
    for heading in ("torchdiffeq", "flashode", "ratio", "their error", "our error"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        theirs, ours = statistics.median(row.theirs), statistics.median(row.ours)
        errors = (f"{error:.1e}" for error in row.errors)
        ratio = f"{theirs / ours:.1f}×"
        table.add_row(row.workload.name, row.mode, _readable(theirs), _readable(ours), ratio, *errors)
    console.print(table)
    build = flashode.build_info()
    others = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "torchdiffeq"))
    packages = f"{others}, flashode {flashode.__version__}"
    command = shlex.join(["python", "-m", module, *sys.argv[1:]])
    lines = {
        "errors": "against a tighter solve in float64, relative to the largest entry of each tensor",
        **{row.workload.name: row.workload.describe() for row in rows},
        "machine": f"{_processor()}, {torch.get_num_threads()} threads, load {load:.1f} when begun",
        "versions": f"Python {platform.python_version()}, {packages}",
        "build": ", ".join(f"{name} {value}" for name, value in build.items()),
        "command": command,
    }
    for name, text in lines.items():
        console.print(f"{name:<12}{text}", soft_wrap=True)


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
    parser.add_argument("--threads", type=int, help="threads of both solvers (default: what torch takes)")
    parser.add_argument("--runs", type=int, default=15, help="samples of each solver (default: 15)")
    arguments = parser.parse_args()
    for option, value in (("runs", arguments.runs), ("threads", arguments.threads)):
        if value is not None and value < 1:
            parser.error(f"argument --{option}: must be at least 1, got {value}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    load = os.getloadavg()[0]
    with flashode.use_engine("native"):
        rows = [measure(workload, mode, arguments.runs) for workload, mode in arguments.jobs]
    show(rows, arguments.runs, load, Console(highlight=False, width=100), "benchmarks.against_torchdiffeq")


if __name__ == "__main__":
    main()
