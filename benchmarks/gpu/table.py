"""What the phases found, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.gpu.estimates import ESTIMATES, PEERS, Estimate
from benchmarks.gpu.findings import DONE, HOST, Finding, Findings, shown_number
from benchmarks.gpu.phases import PHASES

SPEED = "speed"
MILLISECONDS = "flashode, ms"
MARKS = {True: "ok", False: "**not ok**", None: ""}


def is_well(phases: Sequence[Findings]) -> bool:
    """Whether every phase came to its end, and everything was as it should be."""
    return all(one.ended == DONE and not one.failed for one in phases)


def text(phases: Sequence[Findings]) -> str:
    """Everything: how phases ended, what failed, speeds beside estimates, and all the rest."""
    return "\n".join(_lines(phases)) + "\n"


def estimated() -> Iterator[str]:
    """The table of workloads where nothing was measured."""
    yield "| estimates, ms | ours | torchdiffeq | diffrax | aim |"
    yield "|---|--:|--:|--:|---|"
    for (case, mode), one in ESTIMATES.items():
        yield _line(f"{case}, {mode}", one.ours, one.torchdiffeq, one.diffrax, _aims(one))


def measured(phases: Sequence[Findings]) -> Iterator[str]:
    """The table of workloads that were measured, estimates beside them."""
    yield "| workload | ours, ms | estimate | torchdiffeq by ours | diffrax by ours | aim |"
    yield "|---|--:|--:|--:|--:|---|"
    rows = {f"{case}, {mode}": estimate for (case, mode), estimate in ESTIMATES.items()}
    for one in (one for phase in phases if phase.phase == SPEED for one in phase.findings):
        estimate, ours = rows.get(one.what, Estimate("")), one.numbers.get(MILLISECONDS)
        if ours is not None:
            peers = (one.numbers.get(f"{peer}, times") for peer in PEERS)
            times = ("" if ratio is None else f"{shown_number(ratio)}×" for ratio in peers)
            yield _line(one.what, shown_number(ours), estimate.ours, *times, _aims(estimate))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _aims(estimate: Estimate) -> str:
    return ", ".join(f"{times:g}× {peer}" for peer, times in (estimate.aims or {}).items())


def _lines(phases: Sequence[Findings]) -> Iterator[str]:
    first = phases[0]
    on_host = any(phase.machine == HOST for phase in phases)
    where = "the host, without a GPU" if on_host else first.machine
    yield f"# The CUDA engine on {where}, {first.started[:10]}"
    yield ""
    if on_host:
        yield "A dry run: nothing was measured, and every time is an **estimate**."
        yield ""
    yield "| phase | | ended | seconds | not ok |"
    yield "|---|---|---|--:|--:|"
    for phase in phases:
        cells = (phase.phase, PHASES[phase.phase].title, _cell(phase.ended), f"{phase.seconds:.0f}")
        yield f"| {' | '.join(cells)} | {len(phase.failed)} |"
    failed = [(phase.phase, one) for phase in phases for one in phase.failed]
    if failed:
        yield "\n## Not as it should be\n"
        yield from (f"- {phase}: {one.what}: {_cell(one.text) or _numbers(one)}" for phase, one in failed)
    yield "\n## Times\n"
    yield from estimated() if on_host else measured(phases)
    for phase in phases:
        yield f"\n## {PHASES[phase.phase].title}\n"
        yield "| what | | |"
        yield "|---|---|---|"
        for one in phase.findings:
            yield f"| {_cell(one.what)} | {MARKS[one.passed]} | {_cell(_rest(one))} |"


def _rest(one: Finding) -> str:
    return "; ".join(part for part in (one.text, _numbers(one)) if part)


def _numbers(one: Finding) -> str:
    return ", ".join(f"{name} {shown_number(value)}" for name, value in one.numbers.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")
