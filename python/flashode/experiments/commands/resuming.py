"""What `--resume` means to every experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import typer

from flashode.experiments import saved
from flashode.experiments.saved import Saved
from flashode.experiments.session import tell
from flashode.experiments.training import DoesNotFit, Training

_Value = TypeVar("_Value", int, float, bool)
_Findings = TypeVar("_Findings")


@dataclass(frozen=True)
class Earlier:
    """The run that this one goes on from; without `--resume` one that has done nothing.

    Attributes:
        path: The file, as typed.
        saved: What it holds.
    """

    path: Path | None
    saved: Saved

    @staticmethod
    def at(path: Path | None, experiment: str) -> Earlier:
        """Reads the file, if there is one.

        Raises:
            typer.BadParameter: If it is not of the experiment.
        """
        if path is None:
            return Earlier(None, Saved(experiment))
        try:
            return Earlier(path, saved.read(path, experiment))
        except saved.CannotRead as error:
            raise typer.BadParameter(str(error), param_hint="'--resume'") from error

    @property
    def epoch(self) -> int:
        """How many epochs it had, of the training that had the most."""
        return max((int(state.get("epoch", 0)) for state in self.saved.trainings.values()), default=0)

    def settled(self, name: str, typed: _Value | None, default: _Value) -> _Value:
        """The value of an option that may not change on the way.

        Args:
            name: Of the option, without dashes.
            typed: The user's value, or None.
            default: Its value where neither was it typed nor does the file have one.

        Raises:
            typer.BadParameter: If what was typed is not what the file has.
        """
        had: _Value = self.saved.settings.get(name, default if typed is None else typed)
        if typed is not None and typed != had:
            raise typer.BadParameter(
                f"got {typed}, but {self.path} was trained with {had}: leave it out", param_hint=f"'--{name}'"
            )
        return had

    def epochs(self, typed: int | None, default: int) -> int:
        """How many epochs there are to be, those of the file included.

        Raises:
            typer.BadParameter: If the file has had more.
        """
        had = self.epoch
        wanted = int(self.saved.settings.get("epochs", default)) if typed is None else typed
        if wanted < had:
            raise typer.BadParameter(
                f"got {wanted}, but {self.path} has had {had} epochs, which count: accepted is {had} or more",
                param_hint="'--epochs'",
            )
        if wanted == had > 0:
            tell({"epochs": f"{self.path} has had all {had}; a larger --epochs trains on"})
        return wanted

    def restore(self, name: str, training: Training[Any]) -> None:
        """Lets a new training go on from the one of a name, if there is a file.

        Raises:
            typer.BadParameter: If the file has none of the name, or one of another model.
        """
        if self.path is None:
            return
        if name not in self.saved.trainings:
            raise typer.BadParameter(f"{self.path} has no training of the {name}", param_hint="'--resume'")
        try:
            training.restore(self.saved.trainings[name])
        except DoesNotFit as error:
            raise typer.BadParameter(f"{self.path} has {error}", param_hint="'--resume'") from error

    def restored(self, of: Callable[[dict[str, Any]], _Findings]) -> _Findings:
        """The findings of the file, converted by `of`; there are none without a file.

        Raises:
            typer.BadParameter: If it cannot.
        """
        try:
            return of(self.saved.findings)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise typer.BadParameter(
                f"{self.path} is damaged: its findings ({error})", param_hint="'--resume'"
            ) from error

    def history(self, of: Callable[..., _Findings]) -> list[_Findings]:
        """Each epoch, as an object of its class; none without a file."""

        def epochs(findings: dict[str, Any]) -> list[_Findings]:
            history = [of(**epoch) for epoch in findings.get("epochs", [])]
            if self.path is not None and len(history) != self.epoch + 1:
                raise ValueError(f"{len(history)} entries of {self.epoch} epochs and the start")
            return history

        return self.restored(epochs)
