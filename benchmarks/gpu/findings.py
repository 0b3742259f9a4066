"""What a phase finds, in a file from the first moment on: a phase that is stopped leaves what it had."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

Number = int | float | str
# What it ran on, unless that is a GPU.
HOST = "host"
UNKNOWN = "unknown"
# How a phase ended, unless it failed or was stopped.
RUNNING = "running"
DONE = "done"


@dataclass(frozen=True)
class Finding:
    """One check or one measurement.

    Attributes:
        what: Was checked or measured.
        passed: Whether it is as it should be; None where there is nothing to judge.
        text: What is to be said of it.
        numbers: What was measured, by name.
    """

    what: str
    passed: bool | None
    text: str = ""
    numbers: Mapping[str, Number] = field(default_factory=dict)


@dataclass
class Findings:
    """Those of one phase, and how it ended.

    Attributes:
        phase: Its name.
        machine: What it ran on: the name of a GPU, `HOST` or `UNKNOWN`.
        started: When, as ISO 8601 in UTC.
        ended: How: `DONE`, or in words; until then `RUNNING`.
        seconds: That it took.
        findings: In the order in which they were found.
    """

    phase: str
    machine: str
    started: str
    ended: str = RUNNING
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def failed(self) -> list[Finding]:
        """Those that are not as they should be."""
        return [one for one in self.findings if one.passed is False]

    def write(self, folder: Path) -> None:
        """Writes them to their file in a folder; a reader never sees a part of it."""
        path = file_of(self.phase, folder)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)


def file_of(phase: str, folder: Path) -> Path:
    """Where the findings of a phase are."""
    return folder / f"{phase}.json"


def read(phase: str, folder: Path) -> Findings | None:
    """The findings of a phase; None where it has left none.

    Raises:
        ValueError: The file is none of theirs.
    """
    path = file_of(phase, folder)
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = [Finding(**one) for one in content.pop("findings")]
        return Findings(**content, findings=found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} does not hold findings of a phase: {error}") from None


class Recorder:
    """Takes the findings of a running phase.

    Args:
        findings: To which they are added.
        folder: Where they are written.
        until: When the phase is stopped, by ``time.monotonic``.
    """

    def __init__(self, findings: Findings, folder: Path, until: float) -> None:
        self._findings = findings
        self._folder = folder
        self._until = until
        findings.write(folder)

    @property
    def seconds_left(self) -> float:
        """Until the phase is stopped."""
        return self._until - time.monotonic()

    def add(
        self, what: str, passed: bool | None, text: str = "", numbers: Mapping[str, Number] | None = None
    ) -> None:
        """Keeps a finding, and says so; see `Finding`."""
        numbers = numbers or {}
        self._findings.findings.append(Finding(what, passed, text, numbers))
        self._findings.write(self._folder)
        mark = {True: "ok", False: "NOT OK", None: "--"}[passed]
        shown = ", ".join(f"{name} {shown_number(value)}" for name, value in numbers.items())
        print(f"  {mark:7}{what}" + "".join(f": {part}" for part in (text, shown) if part), flush=True)


def shown_number(value: Number) -> str:
    """As a reader is to see it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
