"""What every experiment's command does around its training: checks, the folder, errors, and what it
leaves."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console

import flashode
from flashode.engines import EngineDeclined
from flashode.experiments import page, results
from flashode.experiments.engine import Engine
from flashode.experiments.progress import TrainingBar
from flashode.experiments.running import INTERRUPTED

console = Console(highlight=False)
errors = Console(highlight=False, stderr=True)

# What figures and the page need beside what the command line does.
_DRAWING = ("matplotlib", "jinja2")


@dataclass
class Session:
    """One run of an experiment.

    Attributes:
        name: Of the experiment.
        out: Folder of what it leaves.
        engine: As asked for.
        began: When, by the clock for differences.
        metrics: What `metrics.json` holds.
    """

    name: str
    out: Path
    engine: Engine
    began: float = field(default_factory=time.perf_counter)
    metrics: dict[str, object] = field(default_factory=dict)

    def bar(self, *, epochs: int, updates_per_epoch: int, title: str = "") -> TrainingBar:
        """A progress bar for a training run."""
        return TrainingBar(
            title or self.name, epochs=epochs, updates_per_epoch=updates_per_epoch, console=console
        )

    def note(self, **metrics: object) -> None:
        """Adds to the metrics, and writes them: an interruption loses nothing that was noted."""
        self.metrics |= metrics
        common = {"experiment": self.name, "seconds": time.perf_counter() - self.began}
        results.write_metrics(self.out, common | self.metrics | {"versions": results.versions()})

    def again(self, command: str, flags: Sequence[str] = (), **options: object) -> str:
        """The command line of this run."""
        if self.engine is not Engine.auto:
            options["engine"] = self.engine.value
        words = [f"--{name} {value}" for name, value in options.items()]
        return " ".join(("flashode", command, *flags, *words))

    def leave(
        self, title: str, summary: str, table: page.Table, figures: Sequence[page.Figure], command: str
    ) -> None:
        """Writes the page, and says what was written where."""
        written = [figure.path.name for figure in figures]
        page.write(self.out, title, summary, table, figures, command)
        tell({"written": f"{', '.join([*written, 'metrics.json', page.FILE])} in {self.out}"})


@contextmanager
def session(name: str, out: Path, engine: Engine, packages: Sequence[str] = ()) -> Iterator[Session]:
    """Runs an experiment: makes its folder, chooses the engine, and turns errors into one line and a status.

    Args:
        name: Of the experiment.
        out: Folder for what it leaves; made if absent.
        engine: Which engine solves.
        packages: What it needs beside matplotlib, as pip names it.
    """
    _require((*_DRAWING, *packages))
    _make_folder(out)
    try:
        with flashode.use_engine(engine.value):
            yield Session(name, out, engine)
    except KeyboardInterrupt:
        console.print(f"stopped; what was finished is in {out}")
        raise typer.Exit(INTERRUPTED) from None
    except (flashode.SolverError, EngineDeclined, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1) from None


def tell(lines: Mapping[str, str]) -> None:
    """Prints lines of a name and a text."""
    for name, text in lines.items():
        console.print(f"  {name:<12}{text}", markup=False, soft_wrap=True)


def _require(packages: Sequence[str]) -> None:
    """Before the training, not after it."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if not missing:
        return
    extra = all(name in (*_DRAWING, "scipy") for name in missing)
    remedy = "'flashode[experiments]'" if extra else " ".join(missing)
    errors.print(f"error: this needs {', '.join(missing)}, not installed here. Try:", style="red")
    errors.print(f"    pip install {remedy}", markup=False, soft_wrap=True)
    raise typer.Exit(1)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot make {out}: {error.strerror}", param_hint="'--out'") from error
