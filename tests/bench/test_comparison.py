"""Two runs side by side: what counts as a change, what as noise, and what as a regression."""

from collections.abc import Sequence

import pytest

from flashode.bench.records.comparison import FEWEST, compare
from flashode.bench.records.file import Results
from flashode.bench.records.record import Record

SCATTER = (0.98, 1.0, 1.01, 0.99, 1.02, 1.0, 0.97, 1.03, 1.0)


def results(ours: Sequence[float], theirs: Sequence[float], mode: str = "forward") -> Results:
    """A run of one workload, timed by us and by a peer."""
    written = Results("", "", "", quick=False, threads=2)
    for library, seconds in (("flashode", ours), ("torchdiffeq", theirs)):
        record = Record("workloads", "wide", {}, library, mode, library, seconds=list(seconds))
        written.records.append(record)
    return written


def scattered(median: float, scatter: Sequence[float] = SCATTER) -> list[float]:
    return [median * one for one in scatter]


def test_a_run_equals_itself() -> None:
    run = results(scattered(1.0), scattered(10.0, SCATTER[::-1]))
    comparison = compare(run, run)
    (change,) = comparison.changes
    assert change.factor == 1
    assert not change.beyond_noise
    assert not comparison.regressed


@pytest.mark.parametrize(
    ("slower", "beyond", "regression"), [(1.02, False, False), (1.08, True, False), (1.2, True, True)]
)
def test_a_loss_counts_over_ten_percent(slower: float, beyond: bool, regression: bool) -> None:
    old = results(scattered(1.0), scattered(10.0, SCATTER[::-1]))
    new = results(scattered(slower), scattered(10.0, SCATTER[::-1]))
    (change,) = compare(old, new).changes
    assert change.factor == pytest.approx(1 / slower)
    assert change.low <= change.factor <= change.high
    assert change.beyond_noise is beyond
    assert change.regression is regression
    assert compare(old, new).regressed is regression


def test_a_gain_is_a_change_and_no_regression() -> None:
    old, new = results(scattered(1.0), scattered(10.0)), results(scattered(0.5), scattered(10.0))
    (change,) = compare(old, new).changes
    assert change.beyond_noise
    assert not change.regression


def test_a_slower_machine_changes_no_ratio() -> None:
    old, new = results(scattered(1.0), scattered(10.0)), results(scattered(3.0), scattered(30.0))
    (change,) = compare(old, new).changes
    assert change.factor == pytest.approx(1)
    assert not change.beyond_noise


def test_what_disturbs_a_turn_disturbs_both() -> None:
    # Samples differ fivefold from turn to turn, but the contenders' ratio does not.
    drift = [1.0, 5.0, 2.0, 3.0, 4.0]
    old = results(scattered(1.0, drift), scattered(10.0, drift))
    new = results(scattered(1.5, drift), scattered(10.0, drift))
    assert compare(old, new).regressed


def test_scatter_wider_than_the_loss_is_noise() -> None:
    wild = (0.3, 2.5, 0.6, 1.8, 1.0, 0.4, 2.0)
    old, new = results(scattered(1.0, wild), [10.0] * 7), results(scattered(1.2, wild), [10.0] * 7)
    (change,) = compare(old, new).changes
    assert change.factor < 0.9
    assert not change.regression


def test_few_samples_decide_nothing() -> None:
    few = [1.0] * (FEWEST - 1)
    comparison = compare(results(few, few), results([9.0] * (FEWEST - 1), few))
    assert comparison.changes == []
    assert comparison.undecided == 1
    assert not comparison.regressed


def test_what_we_can_no_longer_do_is_a_regression() -> None:
    old, new = results(scattered(1.0), scattered(10.0)), results([], scattered(10.0))
    new.records[0].failure = "wrong answer"
    comparison = compare(old, new)
    assert [one.library for one in comparison.lost] == ["flashode"]
    assert comparison.regressed
    # What was not tried, or what a peer lost, is not.
    del new.records[0]
    new.records[0].failure = "not installed"
    assert not compare(old, new).regressed


def test_modes_are_not_mixed() -> None:
    assert compare(results([1.0] * 9, [9.0] * 9), results([1.0] * 9, [9.0] * 9, "discrete")).changes == []


def test_what_else_differs_is_named() -> None:
    old, new = results([], []), results([], [])
    old.versions, new.versions = {"torch": "2.12", "flashode": "1"}, {"torch": "2.13", "flashode": "2"}
    old.machine, new.threads = {"processor": "A"}, 4
    assert compare(old, new).differing == [
        "processor: A then, none now",
        "threads: 2 then, 4 now",
        "torch: 2.12 then, 2.13 now",
    ]
