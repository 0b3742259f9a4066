"""What an experiment saves, and that one that goes on from it is the one that never stopped."""

import pickle
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from command_line import invoke
from flashode.experiments import cnf, latent, poisson, spiral
from flashode.experiments.progress import Bar
from flashode.experiments.session import Session
from small_experiments import EXPERIMENTS, Change, make_small, read_metrics, succeed

# What no two runs share.
_OF_A_RUN = {"command", "date", "seconds", "training_seconds", "best"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without their figures, which take the longest."""
    make_small(monkeypatch)
    monkeypatch.setattr(Session, "leave", lambda own, findings: None)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The file of one epoch of the flow."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_small(monkeypatch)
        yield succeed("cnf", "--epochs", "1", out=tmp_path_factory.mktemp("trained"))


def same(left: object, right: object, place: str = "") -> Iterator[str]:
    """Where two nested values differ in any bit."""
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        if left.dtype != right.dtype or not torch.equal(left, right):
            yield place
    elif isinstance(left, dict) and isinstance(right, dict):
        if left.keys() != right.keys():
            yield f"{place}: {left.keys() ^ right.keys()}"
        for key in left.keys() & right.keys() - _OF_A_RUN:
            yield from same(left[key], right[key], f"{place}/{key}")
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        if len(left) != len(right):
            yield f"{place}: {len(left)} and {len(right)}"
        for i, (one, other) in enumerate(zip(left, right, strict=False)):
            yield from same(one, other, f"{place}/{i}")
    elif left != right:
        yield f"{place}: {left} and {right}"


def assert_same(one: Path, other: Path) -> None:
    left, right = (torch.load(path, weights_only=True) for path in (one, other))
    assert list(same(left, right)) == []
    assert list(same(read_metrics(one.parent), read_metrics(other.parent))) == []


@pytest.mark.parametrize("words", EXPERIMENTS, ids=" ".join)
def test_going_on_is_never_having_stopped(tmp_path: Path, words: tuple[str, ...]) -> None:
    whole = succeed(*words, "--epochs", "3", "--seed", "4", out=tmp_path / "whole")
    part = succeed(*words, "--epochs", "1", "--seed", "4", out=tmp_path / "part")
    flags = [word for word in words if word != "--adjoint"]
    rest = succeed(*flags, "--epochs", "3", "--resume", str(part), out=tmp_path / "rest")
    assert_same(rest, whole)
    assert read_metrics(rest.parent)["command"].endswith(f"--resume {part}")


@pytest.mark.parametrize(
    ("words", "updates"),
    [(("spiral",), 11), (("spiral", "--noisy"), 19), (("poisson",), 6), (("poisson",), 10), (("cnf",), 3)],
    ids=["spiral", "a seed of noisy", "a seed of poisson", "the best recipe", "cnf"],
)
def test_stopped_it_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], updates: int
) -> None:
    whole = succeed(*words, "--epochs", "2", out=tmp_path / "whole")
    count = 0
    update = Bar.update

    def stop(bar: Bar, loss: float | None = None) -> None:
        nonlocal count
        count += 1
        update(bar, loss)
        if count == updates:
            raise KeyboardInterrupt

    out = tmp_path / "a folder"
    with monkeypatch.context() as patched:
        patched.setattr(Bar, "update", stop)
        result = invoke(*words, "--epochs", "2", "--out", str(out))
    assert result.exit_code == 130, result.output
    assert "Traceback" not in result.output
    (line,) = [line for line in result.output.splitlines() if line.strip().startswith("flashode ")]
    result = invoke(*shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert_same(out / "model.pt", whole)


def test_stopped_before_anything_was_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    succeed("spiral", "--epochs", "1", out=tmp_path)  # which is of another run
    monkeypatch.setattr(spiral, "train", stop)
    result = invoke("spiral", "--epochs", "1", "--out", str(tmp_path))
    assert result.exit_code == 130
    assert "--resume" not in result.output


def test_the_model_is_made_again_from_the_file(trained: Path) -> None:
    (state,) = torch.load(trained, weights_only=True)["trainings"].values()
    assert state["class"] == "Density"
    density = cnf.Density(**state["config"])
    density.load_state_dict(state["state_dict"])
    points = cnf.held_out(0)
    with torch.no_grad():
        likelihood = float(density.log_density(points).mean())
    assert likelihood == read_metrics(trained.parent)["log_likelihood"][-1]


@pytest.mark.parametrize(
    ("begin", "make"),
    [
        (lambda: cnf.begin(0), cnf.Density),
        (lambda: latent.begin(0), latent.LatentODE),
        (lambda: poisson.begin_best(0), poisson.Potential),
        (lambda: spiral.begin(0), spiral.LinearField),
    ],
)
def test_the_config_is_what_the_class_takes(begin: Callable[[], Any], make: Callable[..., Any]) -> None:
    training = begin()
    assert type(training.model) is make
    rebuilt = make(**training.config)
    rebuilt.load_state_dict(training.model.state_dict())


def test_all_epochs_had_the_rest_is_done_again(tmp_path: Path, trained: Path) -> None:
    again = succeed("cnf", "--resume", str(trained), out=tmp_path)
    assert_same(again, trained)


def _shrink(saved: dict[str, Any]) -> None:
    weights = saved["trainings"]["density"]["state_dict"]
    weights["velocity.net.0.weight"] = weights["velocity.net.0.weight"][:32]


def _forget(*path: str) -> Change:
    def change(saved: dict[str, Any]) -> None:
        for name in path[:-1]:
            saved = saved[name]
        del saved[path[-1]]

    return change


def _set(value: object, *path: str) -> Change:
    def change(saved: dict[str, Any]) -> None:
        for name in path[:-1]:
            saved = saved[name]
        saved[path[-1]] = value

    return change


_DENSITY = ("trainings", "density")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_shrink, "velocity.net.0.weight of shape (32, 3); accepted is (64, 3)"),
        (_set({"width": 32}, *_DENSITY, "config"), "config {'width': 32}; accepted is config {'width': 64}"),
        (_set("Potential", *_DENSITY, "class"), "class Potential; accepted is class Density"),
        (_set("latent", "experiment"), "of the experiment latent; accepted is cnf"),
        (_forget("findings", "epochs"), "0 entries of 1 epochs"),
        (_set([{}], "findings", "epochs"), "is damaged: its findings"),
        (_forget("format"), "is not what an experiment saved"),
        (_forget("trainings"), "is damaged"),
        (_forget("trainings", "density"), "has no training"),
        (_set([], "findings"), "is damaged"),
        (_set({"density": 3}, "trainings"), "is damaged"),
        (_forget(*_DENSITY, "optimizer"), "damaged"),
        (_set({}, *_DENSITY, "optimizer"), "damaged"),
        (_forget(*_DENSITY, "random"), "damaged"),
        (_set(torch.zeros(3), *_DENSITY, "random"), "damaged"),
        (_forget(*_DENSITY, "schedule"), "damaged"),
        (_set(None, *_DENSITY, "schedule"), "damaged"),
        (_forget(*_DENSITY, "state_dict"), "shape none"),
        (_forget(*_DENSITY, "state_dict", "velocity.net.4.bias"), "velocity.net.4.bias of shape none"),
        (_set(torch.zeros(2), *_DENSITY, "state_dict", "more"), "more of shape (2,); accepted is none"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, trained: Path, change: Change, says: str) -> None:
    whole = torch.load(trained, weights_only=True)
    change(whole)
    path = tmp_path / "changed.pt"
    torch.save(whole, path)
    _refused(path, says, tmp_path / "new")


@pytest.mark.parametrize(
    "content",
    [b"", b"some text", b"PK\x03\x04", pickle.dumps({"format": "flashode"}), pickle.dumps(Path("x"))],
    ids=["empty", "text", "half a file", "a pickle", "an object"],
)
def test_what_is_no_file_of_ours_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "strange.pt"
    path.write_bytes(content)
    _refused(path, "strange.pt", tmp_path / "new")
    assert path.read_bytes() == content


@pytest.mark.parametrize("value", [torch.zeros(2), {"weight": torch.zeros(2, 2)}, [1, 2]])
def test_what_else_torch_saves_is_refused(tmp_path: Path, value: object) -> None:
    path = tmp_path / "weights.pt"
    torch.save(value, path)
    _refused(path, "is not what an experiment saved", tmp_path / "new")


def test_half_a_file_is_refused(tmp_path: Path, trained: Path) -> None:
    path = tmp_path / "half.pt"
    path.write_bytes(trained.read_bytes()[: trained.stat().st_size // 2])
    _refused(path, "or is damaged", tmp_path / "new")


@pytest.mark.parametrize("path", ["absent.pt", "."])
def test_what_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    _refused(tmp_path / path, "--resume", tmp_path / "new")


def _refused(path: Path, says: str, out: Path) -> None:
    result = invoke("cnf", "--resume", str(path), "--out", str(out))
    assert result.exit_code == 2, result.output
    text = _unwrapped(result.output)
    assert "--resume" in text
    assert says.replace(" ", "") in text.replace(" ", "")  # long paths are broken anywhere
    assert not out.exists()


def _unwrapped(text: str) -> str:
    """What a box of lines says."""
    return " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    ("words", "changed", "says"),
    [
        (("cnf",), ("--seed", "5"), "got 5"),
        (("cnf",), ("--epochs", "1"), "accepted is 2 or more"),
        (("spiral",), ("--adjoint",), "trained with False"),
        (("spiral", "--noisy"), ("--noise", "0.5"), "trained with 0.01"),
    ],
)
def test_options_that_may_not_change(
    tmp_path: Path, words: tuple[str, ...], changed: tuple[str, ...], says: str
) -> None:
    path = succeed(*words, "--epochs", "2", out=tmp_path / "old")
    before = path.read_bytes()
    result = invoke(*words, *changed, "--resume", str(path), "--out", str(tmp_path / "new"))
    assert result.exit_code == 2, result.output
    text = _unwrapped(result.output)
    assert changed[0] in text
    assert says.replace(" ", "") in text.replace(" ", "")  # long paths are broken anywhere
    assert not (tmp_path / "new").exists()
    assert path.read_bytes() == before


def test_spirals_of_both_kinds_are_told_apart(tmp_path: Path) -> None:
    path = succeed("spiral", "--epochs", "1", out=tmp_path)
    result = invoke("spiral", "--noisy", "--resume", str(path), "--out", str(tmp_path / "new"))
    assert result.exit_code == 2
    assert "accepted is noisy spiral" in _unwrapped(result.output)
