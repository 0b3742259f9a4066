"""What a reader sees of a run: every number and loss of it, in a page that needs nothing else."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("jinja2", reason="jinja2 renders the page: pip install 'flashode[bench]'")
pytest.importorskip("matplotlib", reason="matplotlib draws: pip install 'flashode[bench]'")

from rich.console import Console

from flashode.bench.records.file import Results
from flashode.bench.report import page, terminal
from flashode.bench.report.figures import pictures
from flashode.bench.report.losses import contests
from flashode.bench.report.roofline import arithmetic_share, bandwidth_share
from flashode.bench.report.speeds import speeds
from flashode.bench.report.tables import seconds, size, tables
from sample_results import sample_results, timed


@pytest.fixture
def results() -> Results:
    return sample_results()


def test_losses_are_where_a_peer_is_faster(results: Results) -> None:
    (speed,) = speeds(results)
    assert speed.ratio("torchdiffeq") == pytest.approx(50)
    (contest,) = [one for one in contests(results) if one.lost]
    assert (contest.quantity, contest.mode, contest.peer, contest.compared) == (
        "time",
        "forward",
        "diffrax forward",
        1,
    )
    (lost,) = contest.lost
    assert (lost.where, lost.ratio, lost.time) == ("demo", pytest.approx(2.5), pytest.approx(0.4))
    ours, peer = lost.ours, lost.peer
    ours.seconds, peer.seconds = [1.0, 2.0, 3.0], [1.0, 1.0, 2.0]
    assert lost.turns == pytest.approx((1.0, 2.0))


def test_losses_in_memory_and_accuracy_count_beyond_noise(results: Results) -> None:
    for record in results.records:
        if record.library == "torchdiffeq" and record.study == "adjoint":
            steps = record.parameters["steps"]
            # Ours are 10, 100, 1000 kB, and 1e-6: only the last is above what counts, all but the last error.
            record.peak_bytes, record.gradient_error = 5000, {10: 1e-8, 100: 1e-7, 1000: 6e-7}[steps]
    memory, error = [one for one in contests(results) if one.quantity != "time"]
    assert (memory.quantity, memory.compared) == ("peak memory", 3)
    assert [(lost.where, lost.ratio) for lost in memory.lost] == [("steps 1000", pytest.approx(10))]
    assert (error.quantity, error.compared) == ("gradient error", 3)
    assert [lost.ratio for lost in error.lost] == [pytest.approx(100), pytest.approx(10)]
    assert error.lost[0].time == pytest.approx(10)
    rows = {table.title: table for table in tables(results)}["Where we lose"].rows
    assert [cell.text for cell in rows[-1]] == [
        *("gradient error", "discrete", "torchdiffeq discrete", "steps 10", "100×", "10×", "2", "3")
    ]


def test_threads_gain_is_the_time_on_one_by_the_time_on_more(results: Results) -> None:
    results.records.append(timed("threads", "wide", "flashode", "forward", 4e-4, threads=2))
    (gain,) = (table for table in tables(results) if table.title == "Gain from threads")
    assert [[cell.text for cell in row] for row in gain.rows] == [["wide", "flashode forward", "2.5×"]]


def test_parts_of_our_time_are_shares_of_it(results: Results) -> None:
    results.records[0].parts = {"python": 1e-4, "field": 5e-4, "steps": 4e-4, "waiting": 0.0}
    (parts,) = (table for table in tables(results) if table.title == "Where our time goes")
    assert [[cell.text for cell in row] for row in parts.rows] == [
        ["demo", "1 ms", "10%", "50%", "40%", "0%"]
    ]


def test_first_runs_are_shown(results: Results) -> None:
    results.records[0].first_seconds, results.records[1].first_seconds = 0.5, 0.02
    (first,) = (table for table in tables(results) if table.title.startswith("First run"))
    cells = dict(zip(first.headings, first.rows[0], strict=True))
    assert [cells[name].text for name in ("ours", "torchdiffeq", "diffrax")] == ["500 ms", "20 ms", ""]


def test_shares_of_the_processor_are_not_given_for_a_device(results: Results) -> None:
    results.machine["device"] = "a card"
    assert not any(table.title.startswith("Shares") for table in tables(results))


def test_tables_have_ratios_exponents_shares_and_reasons(results: Results) -> None:
    by_title = {table.title.partition(":")[0]: table for table in tables(results)}
    (speed,) = by_title["Speed"].rows
    cells = dict(zip(by_title["Speed"].headings, speed, strict=True))
    assert (cells["ours"].text, cells["torchdiffeq"].text, cells["diffrax"].text) == ("1 ms", "50×", "0.4×")
    assert [cells[name].lost for name in ("torchdiffeq", "diffrax")] == [False, True]
    growth = {row[2].text: row[3].text for row in by_title["Scaling"].rows}
    assert growth == {"flashode discrete": "1.00", "torchdiffeq discrete": "2.00"}
    assert [cell.text for cell in by_title["Gradients"].rows[0]][4:] == ["10 kB", "100 + 7", "1.0e-06"]
    (shares,) = by_title["Shares of what the machine can do"].rows
    assert [cell.text for cell in shares[2:]] == ["10.0%", "5.0%", "16.0%"]
    (failure,) = by_title["Not measured, and why"].rows
    assert failure[1].text == "torchode <is> missing"


def test_shares_count_the_reverse_of_exact_gradients_only(results: Results) -> None:
    record = timed("workloads", "demo", "flashode", "discrete", 1e-3)
    assert arithmetic_share(record, 1e10) == pytest.approx(0.4)
    assert bandwidth_share(record, 1e9) == pytest.approx(0.64)
    record.mode = "continuous"
    assert arithmetic_share(record, 1e10) is bandwidth_share(record, 1e9) is None


def test_every_picture_is_whole_and_the_same_again(results: Results) -> None:
    drawn = pictures(results)
    assert {one.name for one in drawn} == {"speedup", "sweep_steps", "memory", "precision", "threads"}
    assert [one.svg for one in drawn] == [one.svg for one in pictures(results)]
    for one in drawn:
        assert ElementTree.fromstring(one.svg).tag.endswith("svg")
    assert "> 2.00</text>" in next(one.svg for one in drawn if one.name == "sweep_steps")


def test_page_needs_nothing_else_and_leaves_nothing_out(results: Results, tmp_path: Path) -> None:
    text = page.write(results, tmp_path / "new").read_text()
    assert [one.name for one in (tmp_path / "new").iterdir()] == [page.FILE]
    for wanted in (
        "flashode bench &lt;again&gt;",
        "a &lt;fast&gt; one",
        "torch",
        "2.13.0",
        "20.0 GFLOP/s",
        "Where we lose",
        "torchode &lt;is&gt; missing",
        "2-50-2 tanh on cubes",
    ):
        assert wanted in text
    assert not re.findall(r'(?:src|href)="(?!#)(?!http://www\.w3\.org)[^"]*"', text)


def test_names_within_pictures_do_not_meet_on_the_page(results: Results) -> None:
    text = page.render(results)
    names = re.findall(r'\bid="([^"]+)"', text)
    assert len(names) == len(set(names))
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert used <= set(names)


def test_results_without_a_single_time_have_a_page(results: Results) -> None:
    results.records = []
    assert "Nobody was compared with us" in page.render(results)


def test_terminal_shows_every_ratio_in_eighty_columns(results: Results) -> None:
    console = Console(width=80, record=True)
    terminal.show(results, console)
    text = console.export_text()
    assert "50×" in text and "0.4×" in text and "torchode <is> missing" in text
    assert "…" not in text.replace(" … ", "")
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2 s"), (0.0123, "12.3 ms"), (4.56e-5, "45.6 µs"), (1e-8, "0.01 µs")]
)
def test_times_are_in_the_unit_that_suits_them(value: float, text: str) -> None:
    assert seconds(value) == text


def test_sizes_are_in_the_unit_that_suits_them() -> None:
    assert [size(count) for count in (1500, 2_500_000, 3_000_000_000)] == ["2 kB", "2.5 MB", "3,000.0 MB"]
