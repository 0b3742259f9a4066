"""Every phase is under a bar, which counts what it says and tells how long it will take."""

import html
import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from flashode.experiments import noisy, page, progress, session
from flashode.experiments.progress import Bar
from flashode.experiments.published import CITATION
from flashode.experiments.session import Session
from small_experiments import EXPERIMENTS, make_small, read_metrics, succeed


def text_of(bar: Bar) -> str:
    text: str = bar._progress.tasks[0].fields["text"]
    return text


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[Bar]:
    """Every bar of the test, in turn."""
    argv: list[Bar] = []
    enter = Bar.__enter__

    def keep(bar: Bar) -> Bar:
        argv.append(bar)
        return enter(bar)

    monkeypatch.setattr(Bar, "__enter__", keep)
    return argv


def test_units_are_counted_from_one_to_the_last() -> None:
    console = Console(file=io.StringIO())
    bar = Bar("training", unit="epoch", total=2, inner="update", each=3, console=console)
    assert text_of(bar) == "epoch 1/2, update 0/3"
    seen = []
    for _ in range(6):
        bar.update(0.25)
        seen.append(text_of(bar))
    assert seen == [f"epoch {e}/2, update {u}/3, loss 2.5e-01" for e in (1, 2) for u in (1, 2, 3)]


def test_what_was_done_before_counts() -> None:
    console = Console(file=io.StringIO())
    bar = Bar("training", unit="seed", total=5, inner="step", each=60, done=2, console=console)
    assert text_of(bar) == "seed 2/5, step 60/60"
    bar.update()
    assert text_of(bar) == "seed 3/5, step 1/60"


@pytest.mark.parametrize("title", ["cnf", "2×2 layer, 0.001"])
def test_a_line_of_eighty_holds_all_of_it(title: str) -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    with Bar(title, unit="seed", total=10, inner="update", each=1800, done=9, console=console) as bar:
        for _ in range(5):
            bar.update(1e-3)
    lines = [line for line in out.getvalue().replace("\r", "\n").splitlines() if title in line]
    assert "seed 10/10, update 5/1800, loss 1.0e-03" in lines[-1]
    assert lines[-1].rstrip().endswith(" left")


def test_a_file_has_lines_with_both_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    out = io.StringIO()
    with Bar("training", unit="epoch", total=3, console=Console(file=out, width=200)) as bar:
        for _ in range(3):
            bar.update(0.5)
    lines = [line for line in out.getvalue().splitlines() if line.startswith("training: ")]
    assert len(lines) == 3
    assert lines[0].startswith("training: epoch 1/3, loss 5.0e-01, 0:00 elapsed, ")
    assert all(line.endswith(" left") for line in lines)


@pytest.mark.parametrize("words", EXPERIMENTS, ids=" ".join)
def test_bars_reach_their_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bars: list[Bar], words: tuple[str, ...]
) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(page, "write", lambda *args: None)
    succeed(*words, "--epochs", "2", out=tmp_path)
    assert bars
    for bar in bars:
        (task,) = bar._progress.tasks
        assert task.completed == task.total, task.description
    titles = [bar._title for bar in bars]
    assert titles[-1] == "drawing"
    if "--noisy" in words:
        variants = [f"{name}, {rate:g}" for name, rate in noisy.VARIANTS]
        assert titles == [*noisy.FIELDS, *variants, "ways to A", "tolerances", "drawing"]


@pytest.mark.parametrize("words", EXPERIMENTS, ids=" ".join)
def test_no_solve_is_outside_a_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """But for a few: the truth, the engine's name, a model's last prediction."""
    make_small(monkeypatch)
    monkeypatch.setattr(Session, "leave", lambda own, findings: None)
    open_bars, outside = 0, 0
    enter, leave = Bar.__enter__, Bar.__exit__

    def begin(bar: Bar) -> Bar:
        nonlocal open_bars
        open_bars += 1
        return enter(bar)

    def end(bar: Bar, *error: object) -> None:
        nonlocal open_bars
        open_bars -= 1
        leave(bar, *error)  # type: ignore[arg-type]

    import flashode

    solve = flashode.odeint

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal outside
        outside += open_bars == 0
        return solve(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Bar, "__enter__", begin)
    monkeypatch.setattr(Bar, "__exit__", end)
    monkeypatch.setattr(flashode, "odeint", counted)
    succeed(*words, "--epochs", "2", out=tmp_path)
    assert outside <= 2


def test_the_page_states_what_it_depends_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_small(monkeypatch)
    monkeypatch.setattr(session, "datetime", SimpleNamespace(now=lambda: _Then()))
    succeed("cnf", "--epochs", "1", "--seed", "7", out=tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ("engine", "processor", "threads", "versions", "date", "seed"):
        assert f"<td>{name}</td>" in text
    assert "<td>2020-01-02T03:04:05+00:00</td>" in text
    assert "<td>native</td>" in text
    assert f"flashode cnf --epochs 1 --seed 7 --engine auto --out {tmp_path}" in text


@pytest.mark.parametrize("words", [("spiral",), ("spiral", "--noisy"), ("poisson",)], ids=" ".join)
def test_what_is_called_published_has_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    make_small(monkeypatch)
    succeed(*words, "--epochs", "2", out=tmp_path)
    assert read_metrics(tmp_path)["published"]["source"] == CITATION
    assert CITATION in html.unescape((tmp_path / "report.html").read_text(encoding="utf-8"))


class _Then:
    def astimezone(self) -> "_Then":
        return self

    def isoformat(self, timespec: str) -> str:
        assert timespec == "seconds"
        return "2020-01-02T03:04:05+00:00"
