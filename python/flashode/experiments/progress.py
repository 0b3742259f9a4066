"""The progress bar that every phase of an experiment runs under."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

# Where no bar can be drawn, in a file or a pipe, a line is printed this often, in seconds.
_EVERY = 10.0


class _Times(ProgressColumn):
    """How long it took and will take: "1:20, 0:45 left"."""

    def render(self, task: Task) -> Text:
        """The text of a task."""
        return Text(f"{_clock(task.elapsed)}, {_clock(task.time_remaining)} left", style="cyan")


class Bar:
    """A bar with what is counted, the latest loss, and the time it took and will take.

    Args:
        title: Of the phase.
        unit: What the phase consists of: "epoch", "seed".
        total: How many of them.
        inner: What one of them consists of, "update" or "step"; empty where it is done at once.
        each: How many inner ones make one.
        done: How many were done before.
        console: Where to.
    """

    def __init__(
        self,
        title: str,
        *,
        unit: str,
        total: int,
        inner: str = "",
        each: int = 1,
        done: int = 0,
        console: Console,
    ) -> None:
        self._title, self._unit, self._total = title, unit, total
        self._inner, self._each = inner, each
        self._count = done * each
        self._next_line = _EVERY
        self._console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[text]}", markup=False),
            _Times(table_column=Column(no_wrap=True)),
            expand=True,
            console=console,
        )
        self._task = self._progress.add_task(
            title, total=total * each, completed=self._count, text=self._text(None)
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, loss: float | None = None) -> None:
        """Counts one inner unit, or one unit where it has none, and shows its loss."""
        self._count += 1
        self._progress.update(self._task, advance=1, text=self._text(loss))
        task = self._progress.tasks[0]
        if not self._console.is_terminal and (task.elapsed or 0.0) >= self._next_line:
            self._next_line = (task.elapsed or 0.0) + _EVERY
            self._console.print(
                f"{self._title}: {self._text(loss)}, {_clock(task.elapsed)} elapsed, "
                f"{_clock(task.time_remaining)} left",
                markup=False,
                soft_wrap=True,
            )

    def _text(self, loss: float | None) -> str:
        """Such as "epoch 3/15, update 20/100, loss 1.2e-02": which one is at work, or was the last."""
        before = max(self._count - 1, 0)
        text = f"{self._unit} {min(before // self._each + 1, self._total)}/{self._total}"
        if self._inner:
            text += f", {self._inner} {before % self._each + 1 if self._count else 0}/{self._each}"
        return text if loss is None else f"{text}, loss {loss:.1e}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "–:––"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
