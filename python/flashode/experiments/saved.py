"""The file model.pt: the trained models and findings of an experiment, to use and to go on from."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from flashode.experiments.results import replacing

FILE = "model.pt"
_PARTS = ("settings", "trainings", "findings", "metrics")
_FORMAT = "flashode experiment, format 1"


class CannotRead(ValueError):
    """A file is not what an experiment saved."""


@dataclass
class Saved:
    """What a run of an experiment leaves for the next one.

    Attributes:
        experiment: Its name.
        settings: The options that its numbers depend on.
        trainings: By name, the `state` of each training: model, optimizer, random numbers.
        findings: Its other results so far; plain values and tensors.
        metrics: What `metrics.json` held.
    """

    experiment: str
    settings: dict[str, Any] = field(default_factory=dict)
    trainings: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Writes the file; a reader, or an interruption, finds the old one or the new one, never half."""
        with replacing(folder / FILE) as unfinished:
            torch.save({"format": _FORMAT, **vars(self)}, unfinished)
        return folder / FILE


def read(path: Path, experiment: str) -> Saved:
    """Reads the file.

    Args:
        path: Of the file.
        experiment: Which one it is to be of.

    Raises:
        CannotRead: If it is no such file, or another experiment's.
    """
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("what torch.save writes is a zip archive")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of what may be anything, it raises anything
        raise CannotRead(f"{path} is no file that torch.save wrote, or is damaged") from error
    if not isinstance(content, Mapping) or content.get("format") != _FORMAT:
        raise CannotRead(f"{path} is not what an experiment saved")
    if content.get("experiment") != experiment:
        raise CannotRead(f"{path} is of the experiment {content.get('experiment')}; accepted is {experiment}")
    parts: dict[str, Any] = {name: content.get(name) for name in _PARTS}
    dicts = [*parts.values(), *(parts["trainings"] or {}).values()]
    if not all(isinstance(part, dict) for part in dicts):
        raise CannotRead(f"{path} is damaged")
    return Saved(experiment, **parts)
