"""Workloads beside torchdiffeq and diffrax on the same GPU: every answer is checked, then all run in turn."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.gpu import machines
from benchmarks.gpu.ahead import compiled_ahead, precompile
from benchmarks.gpu.estimates import PEERS
from benchmarks.gpu.findings import Number, Recorder
from benchmarks.gpu.machines import ENGINE, Watched, solving
from benchmarks.gpu.solves import sized
from flashode.bench.contenders import CONTINUOUS, DISCRETE, FORWARD, contender
from flashode.bench.measuring.memory import raised
from flashode.bench.measuring.race import Effort, race
from flashode.bench.records.comparison import OURS
from flashode.bench.records.record import Record
from flashode.bench.tasks.workloads import Times, Workload

EFFORT = Effort(samples=7, fewest=3, shortest=0.005, budget=1.5, patience=5.0, peaks=False)
ON_HOST = Effort(samples=1, fewest=1, shortest=0.0, budget=1.0, patience=60.0, peaks=False)
# More seconds than most rows take, where jax compiles: none is begun that would be stopped.
LONGEST = 20.0
# Launches of a solve, and of its reverse.
LAUNCHES = {FORWARD: 1, DISCRETE: 2, CONTINUOUS: 2}
# Allocators hand out memory in portions.
SLACK = 4 * 2**20


@dataclass(frozen=True)
class Row:
    """A workload in one mode.

    Attributes:
        case: What a reader calls it.
        workload: Of which it is.
        mode: What is done with it.
    """

    case: str
    workload: Workload
    mode: str


def rows() -> Iterator[Row]:
    """All of them, those that count most first."""
    plain = {name: sized(name) for name in ("spiral", "demo", "latent", "wide")}
    plain["flow"] = sized("flow", 65_536)
    for case, workload in plain.items():
        yield Row(case, workload, FORWARD)
    for batch in (131_072, 1_048_576, 8_388_608):
        yield Row(f"lorenz {batch:,}", sized("lorenz", batch), FORWARD)
    for mode in (DISCRETE, CONTINUOUS):
        for case, workload in plain.items():
            yield Row(case, workload, mode)


def rows_on_host() -> Iterator[Row]:
    """One, which measures nothing."""
    yield Row("demo", sized("demo", 7), FORWARD)


def run(machine: Watched, host: bool, found: Recorder) -> None:
    """The whole phase."""
    on = machines.device(machine).type
    memory(machine, on, found)
    asked = [
        replace(row, workload=replace(row.workload, device=on))
        for row in (rows_on_host() if host else rows())
    ]
    # All of them before anything is measured.
    with compiled_ahead(machine, [partial(precompile, row.workload, row.mode) for row in asked]) as compiled:
        wait([one for one in compiled if one is not None])
    for row in asked:
        if found.seconds_left < LONGEST:
            found.add(f"{row.case}, {row.mode}", False, "not begun: there is no time left")
        else:
            measure(machine, row, host, found)


def measure(machine: Watched, row: Row, host: bool, found: Recorder) -> None:
    """One row."""
    # jax takes long to compile, where nothing is measured.
    peers = PEERS[:1] if host else PEERS
    names = [(library, row.mode) for library in (OURS, *peers)]
    # Without events around launches, which take time too.
    with solving(machine.machine):
        ours, *theirs = race("gpu", row.workload, names, ON_HOST if host else EFFORT)
    count = launches(machine, row) if ours.failure is None else 0
    well = ours.failure is None and ours.engine == ENGINE and count == LAUNCHES[row.mode]
    said = [f"{record.library}: {record.failure}" for record in (ours, *theirs) if record.failure]
    numbers: dict[str, Number] = {"launches": count}
    if ours.evaluations is not None:
        numbers["evaluations"] = ours.evaluations
    for record in (ours, *theirs):
        numbers |= {} if host else timed(record, ours)
    found.add(f"{row.case}, {row.mode}", well, "; ".join(said), numbers)


def timed(record: Record, ours: Record) -> dict[str, Number]:
    """Milliseconds of a contender, and of a peer by how many times as fast we are."""
    if record.median is None:
        return {}
    numbers: dict[str, Number] = {f"{record.library}, ms": record.median * 1e3}
    if record is not ours and ours.median is not None:
        numbers[f"{record.library}, times"] = record.median / ours.median
    return numbers


def launches(machine: Watched, row: Row) -> int:
    """Of a solve that is not the first."""
    with solving(machine):
        run = contender(OURS, row.mode).prepare(row.workload).run
        run()
        before = len(machine.launches)
        run()
    return len(machine.launches) - before


def memory(machine: Watched, on: str, found: Recorder) -> None:
    """The discrete adjoint keeps a state for each step, and no more."""
    steps, batch = (20, 7) if on == "cpu" else (500, 8192)
    work = sized("demo_rk4", batch, device=on, times=Times(0.0, 0.25), step_size=0.25 / steps)
    with solving(machine):
        run = contender(OURS, DISCRETE).prepare(work).run
        run()
        held = raised(run, on)
    state = work.start.shape[0] * work.start.shape[-1] * work.dtype.itemsize
    least = steps * state
    # The host's own memory is no measure of it.
    well = None if on == "cpu" or held is None else held <= least + least // 8 + SLACK
    numbers: dict[str, Number] = {"steps": steps, "steps × state": least}
    if well is not None and held is not None:
        numbers["bytes"] = held
    found.add("memory of the discrete adjoint", well, numbers=numbers)
