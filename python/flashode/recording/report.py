"""The solves of a program and what they cost, as attributes and as a table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flashode.statistics import Statistics


@dataclass
class Solves:
    """All solves of one field in one way.

    Attributes:
        field: What the function calls itself.
        mode: ``"odeint"``, ``"odeint_adjoint"`` or ``"odeint_dense"``; ``", event"`` follows where there was
            one, and ``" (called)"`` where a compiled solve calls its function from Python.
        method: Name of the method.
        engine: Name of the engine that ran them.
        reason: Why a faster engine did not, or None.
        event_called: Why the event function is called, as a sentence, or None.
        calls: How many there were, failed ones included.
        evaluations: Calls of the field in them, until they failed where they did.
        backward_evaluations: Calls of the field in reverse passes, as far as known; None where nothing is: in
            the eager engine autograd reverses each operation of a solve by ``odeint``.
        seconds: Time they took, without that of capturing the field.
        backward_seconds: Time of reverse passes, or None likewise.
    """

    field: str
    mode: str
    method: str
    engine: str
    reason: str | None
    event_called: str | None = None
    calls: int = 0
    evaluations: int = 0
    backward_evaluations: int | None = None
    seconds: float = 0.0
    backward_seconds: float | None = None

    @property
    def total_seconds(self) -> float:
        """Time of solves and reverse passes, as far as known."""
        return self.seconds + (self.backward_seconds or 0.0)

    def add_solve(self, seconds: float, statistics: Statistics | None) -> None:
        """Counts one solve."""
        with _lock:
            self.calls += 1
            self.seconds += seconds
            if statistics is not None:
                self.evaluations += statistics.evaluations

    def add_reverse(self, seconds: float, statistics: Statistics | None) -> None:
        """Counts one reverse pass."""
        with _lock:
            self.backward_seconds = (self.backward_seconds or 0.0) + seconds
            if statistics is not None:
                self.backward_evaluations = (self.backward_evaluations or 0) + statistics.evaluations


_lock = Lock()
_BACKWARD = "… backward"
HEADINGS = ("field", "mode", "method", "engine", "calls", "evaluations", _BACKWARD, "seconds", _BACKWARD)
_WORD_COLUMNS = 4  # the first ones; the others hold numbers


class Report:
    """The solves that were recorded; ``str`` gives a table of them, and so does a prompt."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, ...], Solves] = {}

    @property
    def solves(self) -> list[Solves]:
        """One entry for each field, mode, method, engine and reason; that which took longest first."""
        with _lock:
            entries = [entry for entry in self._entries.values() if entry.calls]
        return sorted(entries, key=lambda entry: entry.total_seconds, reverse=True)

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table, as text, under ``HEADINGS``."""
        return [_row(entry) for entry in self.solves]

    def notes(self) -> list[str]:
        """A sentence for each reason why a field, or an event function, does not run in a faster engine."""
        sentences = []
        for entry in self.solves:
            if entry.reason is not None:
                sentences.append(f"{entry.field} runs in the {entry.engine} engine because {entry.reason}.")
            if entry.event_called is not None:
                sentences.append(entry.event_called)
        return list(dict.fromkeys(sentences))

    def __str__(self) -> str:
        rows = [HEADINGS, *self.rows()]
        if len(rows) == 1:
            return "no solves"
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join([*(_line(row, widths) for row in rows), *self.notes()])

    __repr__ = __str__

    def entry(self, new: Solves) -> Solves:
        """The entry that solves like those of ``new`` are counted in, which is ``new`` for the first."""
        # Another batch size is no other reason.
        reasons = re.sub(r"\d+", "", f"{new.reason} {new.event_called}")
        with _lock:
            return self._entries.setdefault((new.field, new.mode, new.method, new.engine, reasons), new)


def _row(entry: Solves) -> tuple[str, ...]:
    return (
        entry.field,
        entry.mode,
        entry.method,
        entry.engine,
        f"{entry.calls:,}",
        f"{entry.evaluations:,}",
        "–" if entry.backward_evaluations is None else f"{entry.backward_evaluations:,}",
        f"{entry.seconds:.3f}",
        "–" if entry.backward_seconds is None else f"{entry.backward_seconds:.3f}",
    )


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    texts = [
        text.ljust(width) if i < _WORD_COLUMNS else text.rjust(width)
        for i, (text, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(texts).rstrip()
