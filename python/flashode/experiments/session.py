"""What every experiment's command does around its training: checks, folder, errors and results."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

import flashode
from flashode.cli.terminal import FAILED, INTERRUPTED, console, require, say, say_error
from flashode.engines import EngineDeclined
from flashode.experiments import page, results, saved
from flashode.experiments.progress import Bar
from flashode.experiments.saved import Saved
from flashode.experiments.training import Training

# What the extra has for figures, the page and the experiments' own needs.
_DRAWING = ("matplotlib", "jinja2")
_EXTRA = (*_DRAWING, "scipy")


@dataclass(frozen=True)
class Command:
    """What was typed, defaults included.

    Attributes:
        words: The command, and what else has no value: `("spiral", "--noisy")`.
        out: Folder of what it leaves.
        engine: Which engine solves.
        resume: The file that it goes on from.
        settings: The options that its numbers depend on, with their values.
    """

    words: tuple[str, ...]
    out: Path
    engine: str
    resume: Path | None
    settings: Mapping[str, int | float]

    def line(self, resume: Path | None) -> str:
        """As a line to type, to go on from a file."""
        options: dict[str, object] = {**self.settings, "engine": self.engine, "out": self.out}
        if resume is not None:
            options["resume"] = resume
        words = ["flashode", *self.words]
        for name, value in options.items():
            if isinstance(value, bool):
                words += [f"--{name}"] if value else []
            else:
                words += [f"--{name}", str(value)]
        return shlex.join(words)


@dataclass
class Session:
    """One run of an experiment.

    Attributes:
        name: Of the experiment.
        command: What was typed.
        packages: What it needs beside what draws.
        began: When, by the clock for differences.
        date: When, by the calendar.
        metrics: What `metrics.json` holds beside what every run's does.
        saved: The file to go on from, if there is one.
    """

    name: str
    command: Command
    packages: Sequence[str] = ()
    began: float = field(default_factory=time.perf_counter)
    date: str = field(default_factory=lambda: datetime.now().astimezone().isoformat(timespec="seconds"))
    metrics: dict[str, Any] = field(default_factory=dict)
    saved: Path | None = field(init=False)

    def __post_init__(self) -> None:
        self.saved = self.command.resume
        self._conditions = results.conditions(self.packages)
        self._line = self.command.line(self.command.resume)

    @property
    def out(self) -> Path:
        """Folder of what it leaves."""
        return self.command.out

    def bar(
        self, *, unit: str, total: int, inner: str = "", each: int = 1, done: int = 0, title: str = ""
    ) -> Bar:
        """A progress bar, as `Bar` has it; the title is the experiment's name if it has no other."""
        return Bar(
            title or self.name, unit=unit, total=total, inner=inner, each=each, done=done, console=console
        )

    def note(self, **metrics: object) -> None:
        """Adds to the metrics, and writes them: an interruption loses nothing that was noted."""
        self.metrics |= metrics
        results.write_metrics(
            self.out,
            {
                "experiment": self.name,
                "command": self._line,
                "date": self.date,
                "seconds": time.perf_counter() - self.began,
                **self.command.settings,
                **self.metrics,
                **self._conditions,
            },
        )

    def adopt(self) -> None:
        """Copies the file of --resume into the folder, in case no epoch is left that would write one."""
        theirs, ours = self.command.resume, self.out / saved.FILE
        if theirs is not None and not (ours.exists() and ours.samefile(theirs)):
            with results.replacing(ours) as unfinished:
                shutil.copyfile(theirs, unfinished)

    def keep(self, trainings: Mapping[str, Training[Any]], findings: Mapping[str, object]) -> None:
        """Writes what a next run may go on from."""
        states = {name: training.state() for name, training in trainings.items()}
        whole = Saved(self.name, dict(self.command.settings), states, dict(findings), self.metrics)
        self.saved = whole.write(self.out)

    def leave(self, report: page.Page) -> None:
        """Draws the figures, writes the page, and says what was written where."""
        with self.bar(unit="figure", total=len(report.figures), title="drawing") as bar:
            for figure in report.figures:
                figure.draw(self.out / figure.name)
                bar.update()
        stated = {
            "engine": self.metrics["engine"],
            **self._conditions,
            "versions": ", ".join(f"{name} {one}" for name, one in self._conditions["versions"].items()),
            "date": self.date,
            "seed": self.command.settings["seed"],
        }
        page.write(self.out, report, self._line, {name: str(value) for name, value in stated.items()})
        names = [figure.name for figure in report.figures]
        tell({"written": f"{', '.join([*names, 'metrics.json', saved.FILE, page.FILE])} in {self.out}"})


@contextmanager
def session(
    name: str, command: Command, packages: Sequence[str] = (), metrics: Mapping[str, Any] | None = None
) -> Iterator[Session]:
    """Runs an experiment: makes its folder, chooses the engine, and turns errors into one line and a status.

    Args:
        name: Of the experiment.
        command: What was typed.
        packages: What it needs beside matplotlib, as pip names it.
        metrics: Of the run that it goes on from.
    """
    require(
        [*_DRAWING, *(name for name in packages if name in _EXTRA)],
        "experiments",
        [name for name in packages if name not in _EXTRA],
    )
    _make_folder(command.out)
    own = Session(name, command, packages, metrics=dict(metrics or {}))
    try:
        own.adopt()
        with flashode.use_engine(command.engine):
            yield own
    except KeyboardInterrupt:
        _say_stopped(own)
        raise typer.Exit(INTERRUPTED) from None
    except (flashode.SolverError, EngineDeclined, OSError) as error:
        say_error(error)
        raise typer.Exit(FAILED) from None


def tell(lines: Mapping[str, str]) -> None:
    """Prints lines of a name and a text."""
    for name, text in lines.items():
        say(f"  {name:<11} {text}")


def _say_stopped(own: Session) -> None:
    if own.saved is None:
        say("stopped before anything was finished")
        return
    say(f"stopped; what was finished is in {own.out}. To go on:")
    say(f"    {own.command.line(own.saved)}")


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot make {out}: {error.strerror}", param_hint="'--out'") from error
