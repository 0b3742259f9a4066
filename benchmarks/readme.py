"""Writes the README's performance section, and its pictures, from the published results.

python -m benchmarks.readme
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flashode.bench.records.comparison import OURS
from flashode.bench.records.file import FILE, Results, read
from flashode.bench.report.figures import Picture, gradient_error, memory, pictures, speedup
from flashode.bench.report.losses import contests
from flashode.bench.report.speeds import STUDY, Speed, libraries, median, speeds
from flashode.bench.report.tables import loss_table, seconds, times
from flashode.bench.running import FULL
from flashode.bench.studies.adjoint import NAME
from flashode.bench.tasks.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
README = ROOT / "README.md"
BEGIN = "<!-- Written by python -m benchmarks.readme; edit that, not this. -->"
END = "<!-- End of what python -m benchmarks.readme wrote. -->"
# Versions that decide the times; results.json has them all.
NAMED = ("python", "torch", "torchdiffeq", "diffrax", "jax", "torchode", "torchdyn", "scipy")
SWEEPS = (
    "Sweeps take a 2-50-2 tanh perceptron, 128 trajectories and 100 steps of rk4 in float32, where the swept "
    "number does not say otherwise (`target`: 1024 trajectories); over tolerance dopri5 in float64 "
    "(`python/flashode/bench/studies/adjoint.py`)."
)
DRAWN = (speedup, memory, gradient_error)


def section(results: Results, drawn: Sequence[Picture]) -> str:
    """The performance section in Markdown, without the markers."""
    measured = speeds(results)
    parts = [
        *(f"![{one.title}](benchmarks/results/{one.name}.svg)\n\n{one.caption}" for one in drawn),
        "\n".join(_table(measured)),
        "Ratios are the peer's median time by ours. Where it is below 1, in bold, the peer is faster. "
        "`flashode eager` is our own engine in plain PyTorch, which runs the workloads marked so in both "
        "columns: there the ratio is noise, and what it costs to find that they cannot be compiled.",
        "\n".join(_losses(results)),
        _conditions(results),
        f"```bash\n{results.command}\n```",
    ]
    return "\n\n".join(parts)


def replaced(text: str, results: Results, drawn: Sequence[Picture]) -> str:
    """A README with its section as the results have it.

    Raises:
        ValueError: If the markers are missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the README lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}\n\n{section(results, drawn)}\n\n{end}{after}"


def main() -> None:
    """Writes both."""
    results = read(RESULTS / FILE)
    drawn = pictures(results, DRAWN)
    README.write_text(replaced(README.read_text(encoding="utf-8"), results, drawn), encoding="utf-8")
    for picture in drawn:
        text = f"{origin(results)}\n{picture.svg}"
        (RESULTS / f"{picture.name}.svg").write_text(text, encoding="utf-8")


def origin(results: Results) -> str:
    """The first line of a picture: the results that it shows."""
    return f"<!-- {results.started}, commit {results.commit} -->"


def _table(measured: list[Speed]) -> Iterator[str]:
    peers = libraries(measured)
    yield "| workload | mode | ours | " + " | ".join(peers) + " |"
    yield "|---|---|--:|" + "--:|" * len(peers)
    named = ""
    for speed in measured:
        ours = speed.ours
        name = "" if ours.case == named else _described(ours.case)
        named = ours.case
        ratios = (_ratio(peer, speed.ratio(peer)) for peer in peers)
        yield f"| {name} | {ours.mode} | {seconds(median(ours))} | {' | '.join(ratios)} |"


def _described(case: str) -> str:
    return f"`{case}`: {WORKLOADS[case].summary}" if case in WORKLOADS else f"`{case}`"


def _ratio(peer: str, ratio: float | None) -> str:
    if ratio is None:
        return ""
    return times(ratio) if ratio >= 1 or peer.startswith(OURS) else f"**{times(ratio)}**"


def _losses(results: Results) -> Iterator[str]:
    """For each quantity and mode, and each peer that we lose to, how often and where by most."""
    table = loss_table(results)
    if not table.rows:
        yield "**Where we lose**: " + (
            "nowhere in this run." if contests(results) else "nobody was compared."
        )
        return
    yield "**Where we lose**, and in how many of the comparisons:"
    yield ""
    yield "| " + " | ".join(table.headings) + " |"
    yield "|" + "---|" * table.left + "--:|" * (len(table.headings) - table.left)
    for row in table.rows:
        yield "| " + " | ".join(cell.text for cell in row) + " |"
    yield ""
    yield f"{table.note} {SWEEPS}"


def _samples(results: Results, study: str) -> str:
    counts = [len(record.seconds) for record in results.records if record.study == study and record.seconds]
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low} to {high}" if low < high else f"{high}"


def _conditions(results: Results) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {results.versions[name]}" for name in NAMED if name in results.versions)
    return (
        f"Measured {results.started[:10]} on {machine.get('processor', 'an unknown processor')}, "
        f"at most {results.threads} threads for everybody (one for SciPy's matrix products), "
        f"{machine.get('usable processors', '?')} processors, {machine.get('memory in GiB', '?')} GiB, "
        f"load average {machine.get('load average before', '?')} before and "
        f"{machine.get('load average after', '?')} after, "
        f"{machine.get('system', 'an unknown system')}; {versions}; commit {results.commit or 'unknown'}. "
        "Workloads are float32 (SciPy: float64) and seed 0 unless `python/flashode/bench/tasks/workloads.py` "
        "says otherwise, which has the tolerances. Times are medians, in the first table of "
        f"{_samples(results, STUDY)} samples, in the gradient sweeps of {_samples(results, NAME)}; a sample "
        f"is the mean of as many runs as take {seconds(FULL.shortest)}; memory is of one run. "
        f"Every sample is in [results.json](benchmarks/results/{FILE}). "
        + ("" if results.finished else "The run was stopped before its end: some studies are incomplete. ")
        + "The command:"
    )


if __name__ == "__main__":
    main()
