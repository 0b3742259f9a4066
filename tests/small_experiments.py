"""The program as a test calls it, and experiments as small as can be."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command_line import invoke
from flashode.experiments import cnf, latent, noisy, poisson, saved


def read_metrics(folder: Path) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return metrics


def succeed(*arguments: str, out: Path) -> Path:
    """Runs an experiment into a folder, and gives the file of its model."""
    result = invoke(*arguments, "--out", str(out))
    assert result.exit_code == 0, result.output
    return out / saved.FILE


def make_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and short epochs; schedules and optimizers change within the first three of them."""
    monkeypatch.setattr(noisy, "SEEDS", range(2))
    monkeypatch.setattr(noisy, "SETTING", replace(noisy.SETTING, updates_per_epoch=2))
    monkeypatch.setattr(noisy, "LONG", 2)
    monkeypatch.setattr(noisy, "EPOCHS", 2)
    monkeypatch.setattr(noisy, "TOLERANCES", (1e-1, 1e-3))
    monkeypatch.setattr(cnf, "UPDATES_PER_EPOCH", 2)
    monkeypatch.setattr(cnf, "EPOCHS", 2)
    monkeypatch.setattr(latent, "UPDATES_PER_EPOCH", 2)
    monkeypatch.setattr(latent, "EPOCHS", 2)
    monkeypatch.setattr(poisson, "PUBLISHED_STEPS", 2)
    monkeypatch.setattr(poisson, "PANEL_STEPS", (1, 2))
    monkeypatch.setattr(poisson, "SEEDS", range(2))
    monkeypatch.setattr(poisson, "STEPS_PER_EPOCH", 3)
    monkeypatch.setattr(poisson, "WARM_UP_EPOCHS", 1)


# Every experiment, by the words that start it.
EXPERIMENTS = (
    ("spiral",),
    ("spiral", "--adjoint"),
    ("spiral", "--noisy"),
    ("poisson",),
    ("cnf",),
    ("latent",),
)
Change = Callable[[dict[str, Any]], object]
