"""The tables of a run, as text in cells: the terminal and the page show the same ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

from flashode.bench.measuring.breakdown import Breakdown
from flashode.bench.records.comparison import OURS
from flashode.bench.records.file import Results
from flashode.bench.records.record import Record
from flashode.bench.report.losses import LEAST_BYTES, LEAST_ERRORS, contests
from flashode.bench.report.roofline import arithmetic_share, bandwidth_share
from flashode.bench.report.scaling import fit, series
from flashode.bench.report.speeds import STUDY, Speed, libraries, median, speeds
from flashode.bench.tasks.workloads import WORKLOADS


@dataclass(frozen=True)
class Cell:
    """Text, and whether it tells of a loss."""

    text: str
    lost: bool = False


@dataclass
class Table:
    """A table; the first `left` columns hold words, the others numbers."""

    title: str
    headings: list[str]
    left: int
    note: str = ""
    rows: list[list[Cell]] = field(default_factory=list)

    def add(self, *cells: str | Cell) -> None:
        """Adds a row."""
        self.rows.append([Cell(one) if isinstance(one, str) else one for one in cells])


def tables(results: Results) -> list[Table]:
    """Every table that has a row."""
    every = (
        loss_table(results),
        speed_table(results),
        first_table(results),
        gradient_table(results),
        scaling_table(results),
        thread_table(results),
        part_table(results),
        share_table(results),
        failure_table(results),
    )
    return [table for table in every if table.rows]


def loss_table(results: Results) -> Table:
    """Our losses: to which peer, in which quantity, how often, and where by most."""
    headings = ["in", "mode", "to", "most, where", "factor", "peer's time by ours", "lost", "of"]
    table = Table("Where we lose", headings, 4)
    table.note = (
        "Ours by the peer's, at the workload or the point of a gradient sweep where it is largest. In "
        f"brackets the least and the largest from turn to turn. Memory below {size(LEAST_BYTES)} counts as "
        f"so much; gradient errors count from a factor of {LEAST_ERRORS:g} on, whatever the times."
    )
    for contest in contests(results):
        if contest.lost:
            worst = contest.lost[0]
            factor = times(worst.ratio)
            if contest.quantity == "time":
                factor += " [{} … {}]".format(*map(times, worst.turns))
            table.add(
                contest.quantity,
                contest.mode,
                contest.peer,
                worst.where,
                Cell(factor, lost=True),
                times(worst.time),
                str(len(contest.lost)),
                str(contest.compared),
            )
    return table


def speed_table(results: Results) -> Table:
    """Peers' times by ours for each workload and mode."""
    compared = speeds(results)
    peers = libraries(compared)
    table = Table("Speed: the peer's time by ours", ["workload", "mode", "ours", *peers], 2)
    table.note = "Medians. Below 1 the peer is faster."
    for speed in compared:
        ratios = [_ratio(speed, peer) for peer in peers]
        table.add(speed.ours.case, speed.ours.mode, seconds(median(speed.ours)), *ratios)
    return table


def first_table(results: Results) -> Table:
    """What the first run takes in a process that has imported the library."""
    compared = speeds(results)
    peers = libraries(compared)
    table = Table(
        "First run, with whatever is captured or compiled once", ["workload", "mode", "ours", *peers], 2
    )
    table.note = (
        "Once each, forward first, in one process a workload: what forward captures serves the other modes "
        "of ours; JAX compiles each mode anew."
    )
    for speed in compared:
        firsts = {peer.library: peer.first_seconds for peer in (speed.ours, *speed.peers)}
        shown = [firsts.get(name) for name in (OURS, *peers)]
        table.add(speed.ours.case, speed.ours.mode, *("" if one is None else seconds(one) for one in shown))
    return table


def gradient_table(results: Results) -> Table:
    """What a gradient costs each contender, at each point of each sweep."""
    headings = ["sweep", "value", "contender", "time", "peak memory", "evaluations", "gradient error"]
    table = Table("Gradients: time, memory and accuracy", headings, 3)
    table.note = (
        "Evaluations are of the solve and of its reverse. The error is that of the largest entry. "
        f"Memory below {size(LEAST_BYTES)} is as many pages as a process happened to have."
    )
    for record in results.records:
        if record.study == "adjoint" and record.seconds:
            ((name, value),) = record.parameters.items()
            table.add(
                name if name == record.case else f"{record.case} ({name})",
                f"{value:g}" if isinstance(value, int | float) else value,
                record.label,
                seconds(median(record)),
                "" if record.peak_bytes is None else size(record.peak_bytes),
                _evaluations(record),
                "" if record.gradient_error is None else f"{record.gradient_error:.1e}",
            )
    return table


def scaling_table(results: Results) -> Table:
    """How time and memory grow: exponents of the power laws that the sweeps follow at their large end."""
    table = Table("Scaling: exponents at the large end", ["over", "case", "contender", "time", "memory"], 3)
    table.note = "Of a power law through three points or more; empty where there are fewer, or no law."
    for (study, case, name, label), records in series(results).items():
        if study == "precision":
            continue
        times = {value: median(one) for value, one in records.items() if one.seconds}
        heights = {value: float(one.peak_bytes) for value, one in records.items() if one.peak_bytes}
        exponents = [fit(points) for points in (times, heights)]
        if any(exponents):
            table.add(name, case, label, *("" if one is None else f"{one.exponent:.2f}" for one in exponents))
    return table


def thread_table(results: Results) -> Table:
    """What more threads gain: the time on one by the time on so many."""
    sweeps = {key[1:]: records for key, records in series(results).items() if key[0] == key[2] == "threads"}
    counts = sorted({count for records in sweeps.values() for count in records if count > 1})
    table = Table(
        "Gain from threads", ["workload", "contender", *(f"{count:g} threads" for count in counts)], 2
    )
    table.note = (
        "One number of threads after another, each in a process of its own, so with more scatter than where "
        "contenders take turns: `spiral`, which no thread can share, shows how much."
    )
    for (case, _, label), records in sweeps.items():
        single = records.get(1)
        if single is not None and single.seconds:
            shown = [records.get(count) for count in counts]
            gains = [
                "" if one is None or not one.seconds else times(median(single) / median(one)) for one in shown
            ]
            if any(gains):
                table.add(case, label, *gains)
    return table


def part_table(results: Results) -> Table:
    """Where the time of our solves without gradients goes."""
    names = [one.name for one in fields(Breakdown)]
    table = Table("Where our time goes", ["workload", "ours", *names], 1)
    table.note = (
        "Python: all but the compiled module. Field: as many evaluations by themselves. Steps: what remains "
        "of the compiled module. Waiting: for other threads at the end of each step."
    )
    for record in results.records:
        if record.study == STUDY and record.parts is not None:
            whole = sum(record.parts.values())
            table.add(record.case, seconds(whole), *(f"{record.parts[name] / whole:.0%}" for name in names))
    return table


def share_table(results: Results) -> Table:
    """Which share of the machine's peaks our solves reach, with one thread's and with all threads' peaks."""
    count = results.threads
    headings = ["workload", "mode", "FMA of one thread", f"FMA of {count}", f"bandwidth of {count}"]
    table = Table("Shares of what the machine can do", headings, 2)
    table.note = (
        "Peaks measured in the same run. The bandwidth is what the solve would need if no cache kept a state."
    )
    # The peaks are the processor's.
    measured = [] if "device" in results.machine else results.records
    for record in measured:
        if record.study == "workloads" and record.library == OURS and record.seconds:
            precision = WORKLOADS[record.case].precision if record.case in WORKLOADS else "float32"
            shares = (
                _share(arithmetic_share, record, results.peaks.get(f"fma {precision} 1")),
                _share(arithmetic_share, record, results.peaks.get(f"fma {precision} {count}")),
                _share(bandwidth_share, record, results.peaks.get(f"bandwidth {count}")),
            )
            if any(shares):
                table.add(record.case, record.mode, *shares)
    return table


def failure_table(results: Results) -> Table:
    """Who has no time, and why; the same reason in several cases is one row."""
    table = Table("Not measured, and why", ["contender", "reason", "where"], 3)
    where: dict[tuple[str, str], list[str]] = {}
    for record in results.records:
        if record.failure is not None:
            place = " ".join((record.case, *(f"{name}={value}" for name, value in record.parameters.items())))
            where.setdefault((record.label, record.failure), []).append(place)
    for (label, reason), places in where.items():
        table.add(Cell(label, lost=label.startswith(OURS)), reason, "; ".join(dict.fromkeys(places)))
    return table


def seconds(value: float) -> str:
    """A time with three digits, in the unit that suits it."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1 or unit == "µs":
            return f"{value * factor:.3g} {unit}"
    raise AssertionError("the last unit suits everything")


def times(ratio: float) -> str:
    """How many times as much, to three digits at least."""
    # The last bits of a logarithm are another processor's own, and may not decide a digit.
    ratio = float(f"{ratio:.12g}")
    return f"{ratio:.0f}×" if ratio >= 100 else f"{ratio:.3g}×"


def size(count: int) -> str:
    """A number of bytes in the unit that suits it."""
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def _ratio(speed: Speed, peer: str) -> Cell:
    ratio = speed.ratio(peer)
    return Cell("") if ratio is None else Cell(times(ratio), lost=ratio < 1 and not peer.startswith(OURS))


def _evaluations(record: Record) -> str:
    counts = (record.evaluations, record.backward_evaluations)
    return " + ".join(str(count) for count in counts if count is not None)


def _share(measure: Callable[[Record, float], float | None], record: Record, peak: float | None) -> str:
    share = measure(record, peak) if peak else None
    return "" if share is None else f"{share:.1%}"
