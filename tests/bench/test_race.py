"""How often a contender runs, and what the records of those that do not say."""

import dataclasses
from collections.abc import Callable
from unittest.mock import patch

import pytest

import flashode
from flashode.bench.contenders import Prepared, contender
from flashode.bench.measuring import race as module
from flashode.bench.measuring.breakdown import breakdown
from flashode.bench.measuring.race import Effort, race
from flashode.bench.studies.adjoint import workload
from flashode.bench.tasks.workloads import Workload

EAGER = ("flashode eager", "discrete")
SMALL = workload("steps", 10)


class _Watched:
    """Counts what is done with a contender; its clock advances by a given time a run."""

    def __init__(self, seconds: float) -> None:
        self.one, self.seconds = contender(*EAGER), seconds
        self.compiling = 0.0
        self.now, self.runs, self.counts = 0.0, 0, 0

    def prepare(self, solved: Workload) -> Prepared:
        prepared = self.one.prepare(solved)

        def run() -> object:
            self.runs += 1
            self.now += self.seconds + (self.compiling if self.runs == 1 else 0.0)
            return prepared.run()

        def count() -> object:
            self.counts += 1
            self.now += self.seconds
            return prepared.count()

        return dataclasses.replace(prepared, run=run, count=count)

    def race(self, effort: Effort):
        stand_in = dataclasses.replace(self.one, prepare=self.prepare)
        with (
            patch.object(module, "contender", lambda *name: stand_in),
            patch.object(module.time, "perf_counter", lambda: self.now),
        ):
            return race("test", SMALL, [EAGER], effort, {"steps": 10})


@pytest.fixture
def watch() -> Callable[[float], _Watched]:
    return _Watched


def test_a_fast_contender_is_sampled_as_often_as_asked(watch):
    watched = watch(0.5)
    (record,) = watched.race(Effort(samples=5, shortest=0.1, budget=60.0))
    assert record.failure is None
    assert record.seconds == pytest.approx([0.5] * 5)
    assert record.gradient_error < 1e-4


def test_what_is_compiled_once_costs_no_samples(watch):
    watched = watch(0.5)
    watched.compiling = 30.0
    (record,) = watched.race(Effort(samples=5, shortest=0.1, budget=8.0, patience=60.0))
    assert record.first_seconds == pytest.approx(30.5)
    assert record.seconds == pytest.approx([0.5] * 5)


def test_a_slow_contender_has_fewer_samples(watch):
    watched = watch(5.0)
    (record,) = watched.race(Effort(samples=9, fewest=3, budget=8.0, patience=60.0))
    assert record.seconds == pytest.approx([5.0] * 3)
    (record,) = watch(5.0).race(Effort(samples=9, fewest=1, budget=8.0, patience=60.0))
    assert record.seconds == pytest.approx([5.0])


def test_compiling_may_take_longer_than_a_run(watch):
    watched = watch(0.5)
    watched.compiling = 100.0
    (record,) = watched.race(Effort(samples=3, budget=8.0, patience=60.0))
    assert record.failure is None and len(record.seconds) == 3
    watched = watch(0.5)
    watched.compiling = 1000.0
    (record,) = watched.race(Effort(samples=3, budget=8.0, patience=60.0))
    assert record.failure == "one run took 1000 s"


def test_a_contender_beyond_patience_is_neither_counted_nor_timed(watch):
    watched = watch(100.0)
    (record,) = watched.race(Effort(patience=60.0))
    assert record.failure == "one run took 100 s"
    assert record.seconds == [] and watched.counts == 0
    assert not record.wrong


def test_our_time_is_broken_down_into_parts_that_make_it_up():
    (record,) = race("test", SMALL, [("flashode", "forward")], Effort(samples=3), {"steps": 10})
    assert set(record.parts) == {"python", "field", "steps", "waiting"}
    assert record.parts["field"] > 0 and record.parts["waiting"] == 0
    (eager,) = race("test", SMALL, [("flashode eager", "forward")], Effort(samples=1), {"steps": 10})
    assert eager.parts is None


def test_an_engine_that_does_not_measure_its_parts_has_none():
    pytest.importorskip("numba")
    with flashode.use_engine("numba"):
        assert breakdown(SMALL) is None


@pytest.mark.usefixtures("compiled")
def test_the_compiled_module_measures_its_parts():
    with flashode.use_engine("native"):
        parts = breakdown(SMALL)
    assert parts is not None
    assert parts.field > 0.0
