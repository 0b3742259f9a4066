"""Writes the README's performance section, and its pictures, from the published results.

python -m benchmarks.readme
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from flashode.bench.report.figures import Picture, gradient_error, memory, pictures, speedup
from flashode.bench.report.losses import LEAST_BYTES, Loss, losses
from flashode.bench.report.speeds import Speed, libraries, median, speeds
from flashode.bench.report.tables import seconds, size, times
from flashode.bench.results import FILE, Results, read
from flashode.bench.workloads import WORKLOADS

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
README = ROOT / "README.md"
BEGIN = "<!-- Written by python -m benchmarks.readme; edit that, not this. -->"
END = "<!-- End of what python -m benchmarks.readme wrote. -->"
# Versions that decide the times; results.json has them all.
NAMED = ("python", "torch", "torchdiffeq", "diffrax", "jax", "torchode", "torchdyn", "scipy")
DRAWN = (speedup, memory, gradient_error)


def section(results: Results, drawn: Sequence[Picture]) -> str:
    """The performance section in Markdown, without the markers."""
    found = speeds(results)
    parts = [
        *(f"![{one.title}](benchmarks/results/{one.name}.svg)\n\n{one.caption}" for one in drawn),
        "\n".join(_table(found)),
        "Ratios are the peer's median time by ours. Where it is below 1, in bold, the peer is faster.",
        "\n".join(_losses(losses(results))),
        _conditions(results, found),
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
        (RESULTS / f"{picture.name}.svg").write_text(picture.svg, encoding="utf-8")


def _table(found: list[Speed]) -> Iterator[str]:
    peers = libraries(found)
    yield "| workload | mode | ours | " + " | ".join(peers) + " |"
    yield "|---|---|--:|" + "--:|" * len(peers)
    named = ""
    for speed in found:
        ours = speed.ours
        name = "" if ours.case == named else _described(ours.case)
        named = ours.case
        ratios = (_ratio(speed.ratio(peer)) for peer in peers)
        yield f"| {name} | {ours.mode} | {seconds(median(ours))} | {' | '.join(ratios)} |"


def _described(case: str) -> str:
    return f"`{case}`: {WORKLOADS[case].summary}" if case in WORKLOADS else f"`{case}`"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return times(ratio) if ratio >= 1 else f"**{times(ratio)}**"


def _losses(found: list[Loss]) -> Iterator[str]:
    """For each quantity the largest loss of each mode to each peer."""
    yield "**Where we lose**: the largest factor of each mode to each peer; the report lists them all."
    yield ""
    worst: dict[tuple[str, str, str], Loss] = {}
    for loss in found:  # the largest first
        worst.setdefault((loss.quantity, loss.ours.mode, loss.peer.library), loss)
    for quantity in dict.fromkeys(loss.quantity for loss in found):
        shown = [loss for loss in worst.values() if loss.quantity == quantity]
        items = (f"{loss.where} {_factor(loss)} to {loss.peer.label}" for loss in shown)
        yield f"- {quantity}: {'; '.join(items)}."
    if not found:
        yield "- nowhere in this run."
    yield ""
    yield (
        "In brackets the 99 % interval of a bootstrap. A gradient error counts where the peer takes no "
        f"longer. Peaks below {size(LEAST_BYTES)} count as so much: they are as many pages as a process "
        "happened to have."
    )


def _factor(loss: Loss) -> str:
    within = "" if loss.interval is None else f" [{' … '.join(f'{end:.3g}' for end in loss.interval)}]"
    return f"{times(loss.ratio)}{within}"


def _samples(found: Sequence[Speed]) -> str:
    counts = [len(record.seconds) for speed in found for record in (speed.ours, *speed.peers)]
    low, high = min(counts, default=0), max(counts, default=0)
    return f"{low} to {high}" if low < high else f"{high}"


def _conditions(results: Results, found: Sequence[Speed]) -> str:
    machine = results.machine
    versions = ", ".join(f"{name} {results.versions[name]}" for name in NAMED if name in results.versions)
    return (
        f"Measured {results.started[:10]} on {machine.get('processor', 'an unknown processor')}, "
        f"at most {results.threads} threads for everybody (one for SciPy's matrix products), "
        f"{machine.get('memory in GiB', '?')} GiB, "
        f"{machine.get('system', 'an unknown system')}; {versions}; commit {results.commit or 'unknown'}. "
        f"float32 (SciPy: float64) and seed 0 unless `flashode/bench/workloads.py` says otherwise, which has "
        f"the tolerances; medians of {_samples(found)} runs. "
        f"Every sample is in [results.json](benchmarks/results/{FILE}). "
        + ("" if results.finished else "The run was stopped before its end: some studies are incomplete. ")
        + "The command:"
    )


if __name__ == "__main__":
    main()
