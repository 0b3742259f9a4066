"""The commands of the experiments: what they write, how they refuse, how they stop."""

import importlib.util
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import flashode
from command_line import invoke
from flashode.experiments import cnf, latent, noisy, poisson, results, spiral

PNG = b"\x89PNG\r\n\x1a\n"


def read_metrics(folder: Path) -> dict[str, object]:
    metrics: dict[str, object] = json.loads((folder / "metrics.json").read_text())
    return metrics


def epochs_then(stop: BaseException) -> Iterator[spiral.Epoch]:
    """What `train` would give, were it stopped within its second epoch."""
    for number, loss in enumerate((1.0, 0.5)):
        yield spiral.Epoch(number, loss, torch.zeros(397, 2), torch.eye(2))
    raise stop


def test_spiral_writes_figures_and_metrics(tmp_path: Path) -> None:
    result = invoke(
        "spiral", "--epochs", "2", "--engine", "native", "--seed", "4", "--out", str(tmp_path / "new")
    )
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new"
    assert {path.name for path in folder.iterdir()} == {
        "loss.png",
        "metrics.json",
        "model.pt",
        "report.html",
        "trajectories.png",
    }
    assert all((folder / name).read_bytes().startswith(PNG) for name in ("loss.png", "trajectories.png"))
    metrics = read_metrics(folder)
    loss, matrix = metrics["loss"], metrics["learned_matrix"]
    assert isinstance(loss, list)
    assert len(loss) == 3
    assert all(math.isfinite(value) and value > 0 for value in loss)
    assert torch.tensor(matrix).shape == (2, 2)
    difference = (torch.tensor(matrix).double() - spiral.PLAIN.truth).abs().max()
    assert metrics["distance_to_true_matrix"] == pytest.approx(difference.item())
    assert metrics["engine"] == "native"
    assert metrics["seed"] == 4
    assert metrics["epochs"] == 2
    assert isinstance(metrics["function_evaluations"], int)
    assert isinstance(metrics["seconds"], float)
    versions = metrics["versions"]
    assert isinstance(versions, dict)
    assert versions["flashode"] == flashode.__version__


def test_spiral_reports_the_engine_that_ran(tmp_path: Path) -> None:
    result = invoke("spiral", "--epochs", "1", "--engine", "eager", "--adjoint", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert read_metrics(tmp_path)["engine"] == "eager"
    assert read_metrics(tmp_path)["gradients"] == "continuous adjoint"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--epochs", "0"), "--epochs"),
        (("--epochs", "many"), "--epochs"),
        (("--engine", "fast"), "--engine"),
        (("--seed", "-1"), "--seed"),
        (("--panels",), "--panels"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, arguments: tuple[str, ...], named: str) -> None:
    result = invoke("spiral", "--out", str(tmp_path), *arguments)
    assert result.exit_code == 2
    assert named in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("inside", ["", "deeper"])
def test_output_that_is_a_file_is_refused(tmp_path: Path, inside: str) -> None:
    file = tmp_path / "taken"
    file.write_text("kept")
    result = invoke("spiral", "--out", str(file / inside))
    assert result.exit_code == 2
    assert "--out" in result.output
    assert file.read_text() == "kept"


def test_interruption_keeps_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spiral, "train", lambda *args, **kwargs: epochs_then(KeyboardInterrupt()))
    result = invoke("spiral", "--out", str(tmp_path))
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert read_metrics(tmp_path)["loss"] == [1.0, 0.5]


def test_failed_solve_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failure = flashode.SolverError("the step became too small at t = [3]")
    monkeypatch.setattr(spiral, "train", lambda *args, **kwargs: epochs_then(failure))
    result = invoke("spiral", "--out", str(tmp_path))
    assert result.exit_code == 1
    assert "error: the step became too small at t = [3]" in result.output
    assert "Traceback" not in result.output


def _wrote(folder: Path, *pictures: str) -> dict[str, object]:
    """The metrics, after a look at the pictures and the page."""
    assert {path.name for path in folder.iterdir()} == {*pictures, "metrics.json", "model.pt", "report.html"}
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/png;base64,') == len(pictures)
    assert all((folder / picture).read_bytes().startswith(PNG) for picture in pictures)
    return read_metrics(folder)


def test_spiral_compares_with_torchdiffeq(tmp_path: Path) -> None:
    pytest.importorskip("torchdiffeq", reason="torchdiffeq is not installed")
    result = invoke("spiral", "--epochs", "2", "--compare", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "times as fast" in result.output
    metrics = _wrote(tmp_path, "trajectories.png", "loss.png")
    took, loss = metrics["compared_seconds"], metrics["compared_loss"]
    assert isinstance(took, dict)
    assert isinstance(loss, dict)
    assert metrics["times_as_fast"] == pytest.approx(took["torchdiffeq"] / took["flashode"])
    assert loss["flashode"] == pytest.approx(loss["torchdiffeq"], rel=1e-2)


def test_comparing_needs_torchdiffeq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *rest: None if name == "torchdiffeq" else find(name, *rest)
    )
    result = invoke("spiral", "--compare", "--out", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "pip install torchdiffeq" in result.output


def test_noisy_spiral(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noisy, "SEEDS", range(2))
    monkeypatch.setattr(noisy, "SETTING", replace(noisy.SETTING, updates_per_epoch=3))
    result = invoke("spiral", "--noisy", "--epochs", "2", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    metrics = _wrote(tmp_path, "layer.png", "perceptron.png", "seeds.png", "reasons.png")
    trials = metrics["trials"]
    assert isinstance(trials, list)
    assert len(trials) == 2 * len(noisy.VARIANTS)
    assert all(len(trial["losses"]) == 3 for trial in trials)


@pytest.mark.parametrize(
    "arguments", [("--noise", "0.1"), ("--noisy", "--compare"), ("--noisy", "--adjoint")]
)
def test_options_that_do_not_go_together(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    result = invoke("spiral", "--out", str(tmp_path), *arguments)
    assert result.exit_code == 2
    assert "--nois" in result.output
    assert list(tmp_path.iterdir()) == []


def test_poisson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scipy", reason="scipy is not installed")
    for name, value in {
        "PUBLISHED_STEPS": 3,
        "PANEL_STEPS": (1, 3),
        "STEPS_PER_EPOCH": 3,
        "WARM_UP_EPOCHS": 1,
    }.items():
        monkeypatch.setattr(poisson, name, value)
    monkeypatch.setattr(poisson, "SEEDS", range(2))
    result = invoke("poisson", "--epochs", "2", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    metrics = _wrote(tmp_path, "panels.png", "convergence.png", "error.png")
    assert metrics["engine"] == "native"
    assert metrics["seeds"] == [0, 1]
    assert isinstance(metrics["relative_error"], float)


def test_cnf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cnf, "UPDATES_PER_EPOCH", 2)
    result = invoke("cnf", "--epochs", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    metrics = _wrote(tmp_path, "flow.png", "likelihood.png")
    assert metrics["engine"] == "native"
    assert len(metrics["log_likelihood"]) == 2  # type: ignore[arg-type]


def test_latent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent, "UPDATES_PER_EPOCH", 2)
    result = invoke("latent", "--epochs", "1", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    metrics = _wrote(tmp_path, "spirals.png", "errors.png")
    assert metrics["engine"] == "native"
    assert len(metrics["evidence"]) == 2  # type: ignore[arg-type]


def test_metrics_that_cannot_be_written_leave_the_old_ones(tmp_path: Path) -> None:
    results.write_metrics(tmp_path, {"loss": [1.0]})
    with pytest.raises(TypeError):
        results.write_metrics(tmp_path, {"loss": object()})
    assert read_metrics(tmp_path) == {"loss": [1.0]}


def test_figures_without_matplotlib_are_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke("spiral", "--out", str(tmp_path / "new"))
    assert result.exit_code == 1
    assert "matplotlib" in result.output
    assert "pip install 'flashode[experiments]'" in result.output
    assert not (tmp_path / "new").exists()
