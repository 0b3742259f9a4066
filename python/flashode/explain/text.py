"""The text of an explanation."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from flashode.declined import Place, Reason, source
from flashode.engines import FALLBACK
from flashode.program import Program, Y, format_body

if TYPE_CHECKING:
    from flashode.explain.explanation import Explanation

_LABELS = 12  # the width of the labels' column
_WIDTH = 100 - _LABELS


def lines(it: Explanation) -> Iterator[str]:
    """The lines of an explanation."""
    from flashode.capture.places import raised_at

    yield _headline(it)
    yield ""
    if it.error is not None:
        # Engines decline such a function for the same reason, in less clear words.
        yield from _entry("error", f"{type(it.error).__name__}: {it.error}")
        yield from _line(raised_at(it.error))
    else:
        for name, reasons in it.reasons.items():
            yield from _because(name, "declines because", reasons)
    yield from _entry("solve", f"{it.method}, {it.gradients}")
    if it.event is not None:
        yield from _event(it)
    yield from _entry("state", it.state + _trajectories(it))
    if it.program is None:
        return
    for shape in it.carried:
        yield from _entry("carried", f"a tensor of shape {shape}: each trajectory reads its own slice")
    for name, amount in it.counters.items():
        yield from _entry("counter", f"{name} grows by {amount} at each evaluation")
    yield from _entry("parameters", _parameters(it.program))
    yield from map(_indented, _parameter_table(it))
    yield from _entry("program", f"{it.program.flops():,} flops an evaluation of one trajectory")
    yield from map(_indented, format_body(it.program))


def _headline(it: Explanation) -> str:
    if it.error is not None:
        return f"{it.function} does not run: calling it raises {type(it.error).__name__}."
    if it.engine is None:
        (insisted,) = it.declined
        return f"{it.function} does not run: use_engine insists on the {insisted} engine, which declines."
    if it.engine == FALLBACK:
        asked = "" if it.declined else ", as use_engine asks"
        return f"{it.function} runs in the {FALLBACK} engine{asked}: plain PyTorch, a step at a time."
    return f"{it.function} runs in the {it.engine} engine."


def _event(it: Explanation) -> Iterator[str]:
    if it.event_reasons:
        yield from _because(
            "event", f"{it.event} is called from Python at each step because", it.event_reasons
        )
        return
    captured = "" if it.engine in (None, FALLBACK) else ", captured"
    yield from _entry("event", f"{it.event}{captured}")


def _because(label: str, claim: str, reasons: tuple[Reason, ...]) -> Iterator[str]:
    """A claim with all its reasons, each with its line of code."""
    for reason in reasons:
        yield from _entry(label, f"{claim} {reason.sentence}")
        yield from _line(reason.where)
        label, claim = "", "and because"


def _trajectories(it: Explanation) -> str:
    if it.program is None:
        return ""
    numbers = _count(it.program.widths[Y], "number")
    if not it.batched:
        return f", one trajectory of {numbers}"
    return f", {_count(it.trajectories, 'independent trajector', 'y', 'ies')} of {numbers}"


def _parameters(program: Program) -> str:
    if not program.parameter_shapes:
        return "none"
    total = sum(torch.Size(shape).numel() for shape in program.parameter_shapes)
    return f"{_count(total, 'number')}, read or computed by torch once a solve"


def _parameter_table(it: Explanation) -> Iterator[str]:
    assert it.program is not None
    shapes = [str(list(shape)) for shape in it.program.parameter_shapes]
    longest = max(map(len, shapes), default=0)
    for i, (shape, expression) in enumerate(zip(shapes, it.parameters, strict=True)):
        yield f"p{i:<3} {shape:<{longest}}  {expression}"


def _count(n: int, noun: str, one: str = "", many: str = "s") -> str:
    return f"{n:,} {noun}{one if n == 1 else many}"


def _entry(label: str, text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False):
            yield f"{label:<{_LABELS}}{part}"
            label = ""


def _indented(line: str) -> str:
    return " " * _LABELS + line


def _line(place: Place | None) -> Iterator[str]:
    """A line of the user's code: where it is, and what it says."""
    if place is not None:
        file, number = place
        inside = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
        yield _indented(f"at {inside}:{number}")
        code = source(place)
        if code:
            yield _indented(f"    {code}")
