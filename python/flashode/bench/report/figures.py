"""The pictures of a run, each one an SVG text of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from flashode.bench.records.file import Results
from flashode.bench.records.record import Record
from flashode.bench.report.scaling import fit, series
from flashode.bench.report.speeds import libraries, median, speeds

Quantity = Callable[[Record], float | None]
Lines = Mapping[str, Mapping[float, Record]]
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
SECONDS = "seconds"
ABREAST = 3
SWEEPS = ("steps", "width", "batch", "tolerance")


@dataclass(frozen=True)
class Picture:
    """A picture with what a reader should know of it."""

    name: str
    title: str
    caption: str
    svg: str


Draw = Callable[[Results], Picture | None]


@dataclass(frozen=True)
class Panel:
    """Lines over a number that a study varies, or over the time that the work took.

    Attributes:
        lines: Records by contender and number.
        x: What goes to the right; `SECONDS` for the time, else the number.
        y: What goes up.
        quantity: What goes up, of a record.
        title: Of the panel.
        exponent: Whether the ends of the lines say how the quantity grows.
    """

    lines: Lines
    x: str
    y: str
    quantity: Quantity
    title: str = ""
    exponent: bool = False

    def points(self, records: Mapping[float, Record]) -> list[tuple[float, float]]:
        """The points of a line, in the order of the number."""
        return [
            (median(record) if self.x == SECONDS else value, amount)
            for value, record in sorted(records.items())
            if (amount := self.quantity(record))
        ]


def pictures(results: Results, drawn: Sequence[Draw] | None = None) -> list[Picture]:
    """The pictures that there are measurements for: every one, or those of some functions."""
    sweeps = [partial(sweep, name=name) for name in SWEEPS]
    wanted = drawn or (speedup, *sweeps, memory, gradient_error, precision, threads)
    with matplotlib.rc_context(STYLE):
        drawings = [draw(results) for draw in wanted]
    return [picture for picture in drawings if picture is not None]


def speedup(results: Results) -> Picture | None:
    """Bars: each peer's time by ours, for each workload, a panel for each mode."""
    compared = speeds(results)
    modes = list(dict.fromkeys(speed.ours.mode for speed in compared))
    if not compared:
        return None
    peers = libraries(compared)
    rows = [[speed for speed in compared if speed.ours.mode == mode] for mode in modes]
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
    panels = [
        Panel(lines, name, SECONDS, lambda one: one.median, exponent=True),
        Panel(lines, name, "peak memory, bytes", lambda one: one.peak_bytes),
        Panel(lines, name, "gradient error, relative", lambda one: one.gradient_error),
    ]
    caption = "At the ends of lines: the exponent of time there, where it follows a power law."
    return _lined(results, f"sweep_{name}", f"A gradient over {name}", caption, panels)


def memory(results: Results) -> Picture | None:
    """Peak memory of each gradient mode against the number of steps."""
    lines = _lines(results, "adjoint", "steps")
    panel = Panel(lines, "steps of rk4", "peak memory of a gradient, bytes", lambda one: one.peak_bytes)
    caption = "What a run needs on top of what its process holds between runs."
    return _lined(results, "memory", "Memory against steps", caption, [panel])


def gradient_error(results: Results) -> Picture | None:
    """Gradient error against time, tolerance going down along each line."""
    lines = _lines(results, "adjoint", "tolerance")
    panel = Panel(lines, SECONDS, "gradient error, relative", lambda one: one.gradient_error)
    caption = "Left and low is better. Along a line the tolerance goes down."
    return _lined(results, "gradient_error", "Gradient error against time", caption, [panel])


def precision(results: Results) -> Picture | None:
    """Work–precision: error against time, a panel for each problem, a line for each solver and method."""
    panels = [
        Panel(lines, SECONDS, "error of the states, relative", lambda one: one.error, title=problem)
        for problem in _cases(results, "precision")
        if (lines := _lines(results, "precision", "tolerance", problem))
    ]
    caption = "Left and low is better. Along a line the tolerance goes down."
    return _lined(results, "precision", "Work against precision", caption, panels)


def threads(results: Results) -> Picture | None:
    """Time against threads, a panel for each workload."""
    panels = [
        Panel(lines, "threads", SECONDS, lambda one: one.median, title=case, exponent=True)
        for case in _cases(results, "threads")
        if (lines := _lines(results, "threads", "threads", case))
    ]
    return _lined(results, "threads", "Time against threads", "Level is no gain from more threads.", panels)


def _cases(results: Results, study: str) -> list[str]:
    return list(dict.fromkeys(one.case for one in results.records if one.study == study))


def _lines(results: Results, study: str, name: str, case: str | None = None) -> Lines:
    """By contender: the timed records of a study that vary in one number."""
    lines = {}
    for (of, where, varied, label), records in series(results).items():
        # A point off the sweep, such as the one of the memory target, is of another case.
        if of == study and varied == name and where == (case or name):
            timed = {value: record for value, record in records.items() if record.seconds}
            if timed:
                lines[label] = timed
    return lines


def _lined(results: Results, name: str, title: str, caption: str, panels: Sequence[Panel]) -> Picture | None:
    """Panels side by side, three in a row; None where they have nothing to show."""
    if not any(panel.points(records) for panel in panels for records in panel.lines.values()):
        return None
    columns = min(ABREAST, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.8 * columns + 2.5, 3.6 * rows + 0.5), layout="constrained")
    for axes, panel in zip(_panels(figure, rows, columns), panels, strict=False):
        for place, (label, records) in enumerate(panel.lines.items()):
            points = panel.points(records)
            law = fit(dict(points)) if panel.exponent else None
            first = next(iter(records.values()))
            color = _color(results, first.library)
            axes.plot(
                [x for x, _ in points],
                [y for _, y in points],
                MODES.get(first.mode, "-."),
                color=color,
                marker=MARKERS[place % len(MARKERS)],
                markersize=4,
                label=label,
            )
            if law is not None:
                axes.annotate(f" {law.exponent:.2f}", points[-1], color=color, fontsize=7)
        axes.set(xscale="log", yscale="log", xlabel=panel.x, ylabel=panel.y, title=panel.title)
        _label_short_axis(axes)
    _legend(figure)
    return _picture(name, title, caption, figure)


def _label_short_axis(axes: Axes) -> None:
    """Labels between powers of ten where there are few of these; by default they stand on each other."""
    low, high = axes.get_xlim()
    if low > 0 and high / low < 100:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(9.0, 9.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())


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
