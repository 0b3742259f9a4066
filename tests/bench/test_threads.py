"""Which numbers of threads are measured, and what is known of the machine's peaks."""

from unittest.mock import patch

import pytest

from flashode.bench.measuring import peaks as module
from flashode.bench.measuring.peaks import larger, peaks
from flashode.bench.measuring.race import Effort
from flashode.bench.studies import Settings, studies
from flashode.bench.studies.threads import CHOSEN, MODES, counts
from flashode.engines import native

SHORT = Effort(samples=3, shortest=1e-4, budget=0.5)


@pytest.mark.parametrize(
    ("threads", "expected"),
    [(1, (1,)), (2, (1, 2)), (3, (1, 2, 3)), (4, (1, 2, 4)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8))],
)
def test_threads_double_up_to_all(threads, expected):
    assert counts(threads) == expected


def test_each_workload_and_mode_meets_each_number():
    listed = list(studies()["threads"].cases(Settings(False, 2, SHORT)))
    assert len({case.title for case in listed}) == len(listed) == 2 * len(CHOSEN) * len(MODES)


def test_only_chosen_workloads_are_measured():
    listed = list(studies()["threads"].cases(Settings(False, 1, SHORT, workloads=("flow", "demo"))))
    assert [case.title for case in listed] == [f"flow, {mode}, threads 1" for mode in MODES]


def test_a_record_bears_its_number_of_threads():
    settings = Settings(False, 2, SHORT, libraries=(), workloads=("spiral",))
    case = next(one for one in studies()["threads"].cases(settings) if one.title.endswith("threads 2"))
    records = case.measure()
    assert {record.library for record in records} == {"flashode", "flashode eager"}
    for record in records:
        assert (record.study, record.case, record.parameters) == ("threads", "spiral", {"threads": 2})
        assert record.failure is None and record.seconds


def test_peaks_have_a_name_for_each_number_of_threads(compiled):
    with patch.multiple(module, WINDOWS=1, SECONDS=1e-3, TRIAD_BYTES=3 * 2**13):
        rates = peaks(2)
    kinds = ("fma float32", "fma float64", "bandwidth")
    assert rates.keys() == {f"{kind} {count}" for kind in kinds for count in (1, 2)}
    assert all(rate > 0 for rate in rates.values())


def test_the_best_window_counts():
    rates = iter([1.0, 3.0, 2.0, 5.0, 4.0, 6.0])
    with (
        patch.multiple(module, WINDOWS=3),
        patch.object(native, "arithmetic_rate", lambda *_: next(rates)),
        patch.object(native, "memory_rate", lambda *_: 7.0),
    ):
        assert peaks(1) == {"fma float32 1": 3.0, "fma float64 1": 6.0, "bandwidth 1": 7.0}


def test_without_the_compiled_engine_there_are_no_peaks():
    with patch.object(native, "_backend", None):
        assert peaks(2) == {}


def test_of_two_measurements_the_larger_counts():
    assert larger({"a": 1.0, "b": 4.0}, {"a": 2.0, "b": 3.0, "c": 5.0}) == {"a": 2.0, "b": 4.0, "c": 5.0}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("float16", 1, 0.1), "precision is 'float16'"), (("float32", 0, 0.1), "threads is 0")]
    + [(("float32", 1, seconds), "seconds is") for seconds in (0.0, -1.0, float("nan"), 11.0)],
)
def test_what_cannot_be_measured_is_named(compiled, arguments, named):
    with pytest.raises(ValueError, match=named):
        native.arithmetic_rate(*arguments)
