"""The answer of ``explain``, as attributes and as text."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from flashode.declined import Place, Reason, listed, source
from flashode.engines import FALLBACK
from flashode.program import Program, Y, format_body

_LABELS = 12  # the width of the labels' column
_WIDTH = 100 - _LABELS


class Kernel(NamedTuple):
    """What an engine compiles for a function.

    Attributes:
        name: ``"forward"``, ``"discrete_vjp"`` or ``"continuous_vjp"``.
        facts: How it spreads the work, what it keeps where, and, once it is compiled, what it takes.
        source: Its text.
    """

    name: str
    facts: tuple[str, ...]
    source: str


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Which engine runs a solve, why faster ones do not, and the captured function.

    ``str`` gives all of it to read, and so does a prompt.

    Attributes:
        function: What the function calls itself.
        state: The state it is asked about, in words.
        method: Name of the method.
        gradients: ``"discrete adjoint"`` for ``odeint``, or ``"no gradients"`` where SciPy solves;
            ``"continuous adjoint"`` for ``odeint_adjoint``.
        engine: Name of the engine that would run, or None where ``use_engine`` insists on one that declines.
        reasons: Why each faster engine does not run it, by its name, fastest first: up to ten reasons, each
            with what stands in the way, what to write instead, and where; ``declined`` has them in words.
        error: What the function raises, if that is why it was not captured.
        program: The captured function of one trajectory, or None if it was not captured.
        batched: Whether the state holds independent trajectories in its first dimension, else it is one
            trajectory; None without a program.
        trajectories: How many independent trajectories the state holds; 0 without a program.
        carried: Shapes of the function's tensors of which each trajectory reads its own slice, the program's
            ``c``.
        parameters: How each parameter of the program is made: the name of a tensor, such as
            ``net.0.weight``, or an expression of such names, which torch evaluates once for each solve.
        counters: What the function's own counters grow by at each evaluation, by name.
        event: What the event function calls itself, or None where there is none.
        event_reasons: Why a compiled solve calls the event function from Python; ``event_called`` has them in
            words.
        kernels: What the engine compiles for the solve and its reverse pass; empty where it compiles nothing.
        shows_source: Whether the text has that of the kernels.
    """

    function: str
    state: str
    method: str
    gradients: str
    engine: str | None
    reasons: Mapping[str, tuple[Reason, ...]]
    error: Exception | None = None
    program: Program | None = None
    batched: bool | None = None
    trajectories: int = 0
    carried: tuple[tuple[int, ...], ...] = ()
    parameters: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    event: str | None = None
    event_reasons: tuple[Reason, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    shows_source: bool = False

    @property
    def declined(self) -> Mapping[str, str]:
        """Why each faster engine does not run it, in words, by its name, fastest first."""
        return {name: listed(reasons) for name, reasons in self.reasons.items()}

    @property
    def event_called(self) -> str | None:
        """Why a compiled solve calls the event function from Python, in words; None where it does not."""
        return listed(self.event_reasons) or None

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    __repr__ = __str__


def _lines(it: Explanation) -> Iterator[str]:
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
    for kernel in it.kernels:
        yield from _entry("kernel", "\n".join([f"{kernel.name}: {kernel.facts[0]}", *kernel.facts[1:]]))
    yield from _entry("state", it.state + _trajectories(it))
    if it.program is not None:
        yield from _captured(it, it.program)
    if it.shows_source:
        yield from _sources(it)


def _captured(it: Explanation, program: Program) -> Iterator[str]:
    for shape in it.carried:
        yield from _entry("carried", f"a tensor of shape {shape}: each trajectory reads its own slice")
    for name, amount in it.counters.items():
        yield from _entry("counter", f"{name} grows by {amount} at each evaluation")
    yield from _entry("parameters", _parameters(program))
    yield from map(_indented, _parameter_table(it))
    yield from _entry("program", f"{program.flops():,} flops an evaluation of one trajectory")
    yield from map(_indented, format_body(program))


def _sources(it: Explanation) -> Iterator[str]:
    for kernel in it.kernels:
        yield from ("", f"Source of {kernel.name}:", "", *kernel.source.strip().splitlines())
    if not it.kernels and it.engine is not None:
        yield from _entry("source", f"none: the {it.engine} engine compiles nothing for a function")


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
