"""Which points of a sweep are measured, and what is said of the others."""

from unittest.mock import patch

import pytest

from flashode.bench import contenders
from flashode.bench.contenders import FORWARD, contender
from flashode.bench.measuring import race
from flashode.bench.measuring.isolation import Died
from flashode.bench.measuring.race import Effort
from flashode.bench.records.record import Record
from flashode.bench.studies import Settings, adjoint, studies

OURS = ("flashode", "discrete")
NEW = ("flashode", "of-tomorrow")


def _sweep(patience: float = 20.0) -> adjoint._Sweep:
    return adjoint._Sweep("steps", 1, "cpu", Effort(samples=3, patience=patience), (contender(*OURS),))


def _isolated(seconds: float, peak: int | None):
    def call(threads, study, solved, names, effort, parameters):
        records = [Record(study, solved.name, parameters, *name, "it") for name in names]
        for record in records:
            record.first_seconds, record.peak_bytes = seconds, peak
            if seconds > effort.patience:
                record.failure = f"one run took {seconds:.0f} s"
            else:
                record.seconds = [seconds]
        return records

    return patch.object(adjoint, "isolated_race", call)


def test_every_gradient_mode_meets_every_point():
    listed = list(studies()["adjoint"].cases(Settings(False, 1, Effort())))
    assert len(listed) == sum(map(len, adjoint.POINTS.values()))
    sweep = listed[0].measure.func.__self__
    assert {(one.library, one.mode) for one in sweep.contenders} >= {OURS, ("torchdiffeq", "continuous")}
    assert all(one.mode != FORWARD for one in sweep.contenders)


def test_a_registered_mode_is_measured_at_every_point():
    known = dict(contenders._registry)
    try:
        contenders.register(*NEW, label="flashode of tomorrow", packages=("torch",))(contender(*OURS).prepare)
        effort = Effort(samples=1)
        case = next(iter(studies()["adjoint"].cases(Settings(False, 1, effort))))
        taking_part = {(one.library, one.mode) for one in case.measure.func.__self__.contenders}
        (record,) = race.race("adjoint", adjoint.workload("steps", 10), [NEW], effort)
    finally:
        contenders._registry.clear()
        contenders._registry.update(known)
    assert NEW in taking_part
    assert record.failure is None and record.seconds and record.gradient_error is not None


@pytest.mark.parametrize(("sweep", "value"), [(name, row[-1]) for name, row in adjoint.POINTS.items()])
def test_a_point_is_what_its_name_says(sweep, value):
    solved = adjoint.workload(sweep, value)
    field, y0, _ = solved.make()
    if sweep in {"steps", "target"}:
        assert adjoint.END / solved.step_size == pytest.approx(value)
    if sweep == "width":
        assert field.net[0].out_features == value
    if sweep == "batch":
        assert y0.shape == (value, 2)
    if sweep == "tolerance":
        assert (solved.rtol, solved.atol, solved.precision) == (value, value, "float64")


def test_a_real_point_has_time_memory_and_error():
    (record,) = _sweep().measure(10)
    assert record.failure is None
    assert record.median > 0 and record.peak_bytes is not None
    assert record.gradient_error < 1e-4
    assert (record.case, record.parameters) == ("steps", {"steps": 10})


def test_what_would_not_fit_is_passed_over():
    sweep = _sweep()
    with _isolated(0.1, adjoint.physical_memory() // 10):
        assert sweep.measure(10)[0].failure is None
        (record,) = sweep.measure(100)
    assert record.failure.startswith("passed over") and "GB at steps 10" in record.failure


def test_what_was_out_of_patience_stays_out():
    sweep = _sweep()
    with _isolated(30.0, None):
        assert sweep.measure(10)[0].failure == "one run took 30 s"
        assert sweep.measure(100)[0].failure == "passed over: 30 s at steps 10"
        assert sweep.measure(1000)[0].failure == "passed over: 30 s at steps 10"


def test_a_contender_that_kills_its_process_loses_nobody_else():
    plain = ("flashode eager", "discrete")

    def call(threads, function, study, solved, names, effort, parameters):
        if OURS in names:
            raise Died("the process died")
        return [Record(study, solved.name, parameters, *name, "it", seconds=[1.0]) for name in names]

    with patch.object(race, "isolated", call):
        dead, alive = race.isolated_race(
            1, "test", adjoint.workload("steps", 10), (OURS, plain), Effort(), {}
        )
    assert (dead.library, dead.failure, dead.wrong) == ("flashode", "the process died", True)
    assert alive.seconds == [1.0] and alive.failure is None
