"""The pictures of a run, each one an SVG text of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from flashode.bench.records import Record
from flashode.bench.report.scaling import fit
from flashode.bench.report.speeds import libraries, median, speeds
from flashode.bench.report.tables import series
from flashode.bench.results import Results

Quantity = Callable[[Record], float | None]
# Text stays text, and the same results give the same file.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "flashode",
    "font.size": 9.0,
    "axes.grid": True,
    "axes.axisbelow": True,
}
MODES = {"forward": "-", "discrete": "-", "continuous": "--", "seminorm": ":"}
MARKERS = "osD^v<>Px"
SWEEPS = ("steps", "width", "batch", "tolerance")


@dataclass(frozen=True)
class Picture:
    """A picture with what a reader should know of it."""

    name: str
    title: str
    caption: str
    svg: str


def pictures(results: Results) -> list[Picture]:
    """Every picture that there are measurements for."""
    with matplotlib.rc_context(STYLE):
        made = (
            speedup(results),
            *(sweep(results, name) for name in SWEEPS),
            memory(results),
            gradient_error(results),
            precision(results),
            threads(results),
        )
    return [picture for picture in made if picture is not None]


def speedup(results: Results) -> Picture | None:
    """Bars: each peer's time by ours, for each workload, a panel for each mode."""
    found = speeds(results)
    modes = list(dict.fromkeys(speed.ours.mode for speed in found))
    if not found:
        return None
    peers = libraries(found)
    rows = [[speed for speed in found if speed.ours.mode == mode] for mode in modes]
    height = 1 + 0.13 * max(map(len, rows)) * (len(peers) + 1)
    figure = Figure(figsize=(3.6 * len(modes) + 1, height), layout="constrained")
    for axes, mode, shown in zip(_panels(figure, 1, len(modes)), modes, rows, strict=True):
        for place, peer in enumerate(peers):
            bars = [(row, ratio) for row, one in enumerate(shown) if (ratio := one.ratio(peer)) is not None]
            if not bars:
                continue
            heights = [row + (place + 0.5) / (len(peers) + 1) - 0.5 for row, _ in bars]
            # From 1 on: a bar to the left of the line is a peer that is faster.
            axes.barh(
                heights,
                [ratio - 1 for _, ratio in bars],
                1 / (len(peers) + 1),
                left=1.0,
                color=_color(results, peer),
                label=peer,
            )
        axes.set_xscale("log")
        axes.axvline(1.0, color="black", linewidth=1)
        axes.set_yticks(range(len(shown)), [speed.ours.case for speed in shown])
        axes.invert_yaxis()
        axes.set_title(mode)
        axes.set_xlabel("peer's time by ours")
    _legend(figure)
    caption = "To the right of the line flashode is faster, to the left the peer is."
    return _picture("speedup", "Speed beside each peer", caption, figure)


def sweep(results: Results, name: str) -> Picture | None:
    """Time, peak memory and gradient error of each gradient mode, over what a sweep varies."""
    lines = _lines(results, "adjoint", name)
    if not lines:
        return None
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    time, height, error = _panels(figure, 1, 3)
    for place, (label, records) in enumerate(lines.items()):
        _draw(results, time, place, label, records, lambda one: one.median, exponent=True)
        _draw(results, height, place, label, records, lambda one: one.peak_bytes)
        _draw(results, error, place, label, records, lambda one: one.gradient_error)
    for axes, what in (
        (time, "seconds"),
        (height, "peak memory, bytes"),
        (error, "gradient error, relative"),
    ):
        axes.set_xlabel(name)
        axes.set_ylabel(what)
    _legend(figure)
    caption = "In the legend: the exponent of time at the large end, where it follows a power law."
    return _picture(f"sweep_{name}", f"A gradient over {name}", caption, figure)


def memory(results: Results) -> Picture | None:
    """Peak memory of each gradient mode against the number of steps."""
    lines = _lines(results, "adjoint", "steps")
    if not any(record.peak_bytes for records in lines.values() for record in records.values()):
        return None
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    (axes,) = _panels(figure, 1, 1)
    for place, (label, records) in enumerate(lines.items()):
        _draw(results, axes, place, label, records, lambda one: one.peak_bytes)
    axes.set_xlabel("steps of rk4")
    axes.set_ylabel("peak memory of a gradient, bytes")
    _legend(figure)
    caption = "What a run needs on top of what its process holds between runs."
    return _picture("memory", "Memory against steps", caption, figure)


def gradient_error(results: Results) -> Picture | None:
    """Gradient error against time, tolerance going down along each line."""
    lines = _lines(results, "adjoint", "tolerance")
    if not lines:
        return None
    figure = Figure(figsize=(7.5, 4), layout="constrained")
    (axes,) = _panels(figure, 1, 1)
    for place, (label, records) in enumerate(lines.items()):
        _against_time(results, axes, place, label, records.values(), lambda one: one.gradient_error)
    axes.set_xlabel("seconds")
    axes.set_ylabel("gradient error, relative")
    _legend(figure)
    caption = "Left and low is better. Along a line the tolerance goes from 1e-3 to 1e-9."
    return _picture("gradient_error", "Gradient error against time", caption, figure)


def precision(results: Results) -> Picture | None:
    """Work–precision: error against time, a panel for each problem, a line for each solver and method."""
    problems = list(dict.fromkeys(one.case for one in results.records if one.study == "precision"))
    if not problems:
        return None
    columns = min(3, len(problems))
    rows = -(-len(problems) // columns)
    figure = Figure(figsize=(4.2 * columns + 1, 3.4 * rows + 0.5), layout="constrained")
    for axes, problem in zip(_panels(figure, rows, columns), problems, strict=False):
        for place, (label, records) in enumerate(_lines(results, "precision", "tolerance", problem).items()):
            _against_time(results, axes, place, label, records.values(), lambda one: one.error)
        axes.set_title(problem)
        axes.set_xlabel("seconds")
        axes.set_ylabel("error of the states, relative")
    _legend(figure)
    caption = "Left and low is better. Along a line the tolerance goes down."
    return _picture("precision", "Work against precision", caption, figure)


def threads(results: Results) -> Picture | None:
    """Time against threads, a panel for each workload."""
    cases = list(dict.fromkeys(one.case for one in results.records if one.study == "threads"))
    if not cases:
        return None
    figure = Figure(figsize=(4.2 * len(cases) + 1, 3.6), layout="constrained")
    for axes, case in zip(_panels(figure, 1, len(cases)), cases, strict=True):
        for place, (label, records) in enumerate(_lines(results, "threads", "threads", case).items()):
            _draw(results, axes, place, label, records, lambda one: one.median, exponent=True)
        axes.set_title(case)
        axes.set_xlabel("threads")
        axes.set_ylabel("seconds")
    _legend(figure)
    return _picture("threads", "Time against threads", "Level is no gain from more threads.", figure)


def _lines(
    results: Results, study: str, name: str, case: str | None = None
) -> dict[str, dict[float, Record]]:
    """By contender: the timed records of a study that vary in one number."""
    found = {}
    for (of, where, varied, label), records in series(results).items():
        # A point off the sweep, such as the one of the memory target, is of another case.
        if of == study and varied == name and where == (case or name):
            timed = {value: record for value, record in records.items() if record.seconds}
            if timed:
                found[label] = timed
    return found


def _draw(
    results: Results,
    axes: Axes,
    place: int,
    label: str,
    records: dict[float, Record],
    quantity: Quantity,
    *,
    exponent: bool = False,
) -> None:
    points = {value: found for value, record in records.items() if (found := quantity(record))}
    law = fit(points) if exponent else None
    named = label if law is None else f"{label} ({law.exponent:.2f})"
    _plot(results, axes, place, named, next(iter(records.values())), sorted(points.items()))


def _against_time(
    results: Results, axes: Axes, place: int, label: str, records: Iterable[Record], quantity: Quantity
) -> None:
    known = list(records)
    points = [(median(record), found) for record in known if (found := quantity(record))]
    _plot(results, axes, place, label, known[0], points)


def _plot(
    results: Results,
    axes: Axes,
    place: int,
    label: str,
    record: Record,
    points: Sequence[tuple[float, float]],
) -> None:
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        MODES.get(record.mode, "-."),
        color=_color(results, record.library),
        marker=MARKERS[place % len(MARKERS)],
        markersize=4,
        label=label,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")


def _color(results: Results, library: str) -> str:
    """The colour of a library, the same in every picture of a run."""
    known = list(dict.fromkeys(record.library for record in results.records))
    return f"C{known.index(library) % 10}"


def _panels(figure: Figure, rows: int, columns: int) -> Iterator[Axes]:
    return iter(figure.subplots(rows, columns, squeeze=False).flat)


def _legend(figure: Figure) -> None:
    """One legend for all panels, outside of them; empty panels go."""
    shown: dict[str, Any] = {}
    for axes in figure.axes:
        handles, labels = axes.get_legend_handles_labels()
        shown.update(zip(labels, handles, strict=True))
        if not handles:
            axes.remove()
    figure.legend(list(shown.values()), list(shown), loc="outside right upper", fontsize=8)


def _picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    # What stands before the element itself is for files, not for a page.
    svg = text.getvalue()
    return Picture(name, title, caption, svg[svg.index("<svg") :])
