"""The progress bar that every experiment trains under."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn


class TrainingBar:
    """A bar over the updates of a training run, with the epoch and the latest loss beside it."""

    def __init__(self, name: str, *, epochs: int, updates_per_epoch: int, console: Console) -> None:
        self._epochs = epochs
        self._updates_per_epoch = updates_per_epoch
        self._updates = 0
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}  loss {task.fields[loss]}"),
            TimeElapsedColumn(),
            console=console,
        )
        total = epochs * updates_per_epoch
        self._task = self._progress.add_task(name, total=total, epoch=0, epochs=epochs, loss="–")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, loss: float) -> None:
        """Counts one update and shows its loss."""
        self._updates += 1
        # Where their number is an estimate, there may be more of them.
        epoch = min(-(-self._updates // self._updates_per_epoch), self._epochs)
        self._progress.update(self._task, advance=1, epoch=epoch, loss=f"{loss:.2e}")
