"""What work–precision diagrams hold: errors as data, slow contenders passed over."""

import dataclasses

import pytest

from flashode.bench.measuring.race import Effort
from flashode.bench.studies import Settings, studies
from flashode.bench.studies.precision import QUICK, TOLERANCES, diagram, true_states
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.problems import NEURAL, PROBLEMS

SHORT = Effort(samples=1, shortest=1e-4, budget=0.1)
PLAIN = ("flashode eager", "forward")
OURS = (("flashode", "forward"), PLAIN)
PROBLEM = dataclasses.replace(PROBLEMS["A3"], method="dopri5")


def test_errors_fall_with_the_tolerance_and_evaluations_rise():
    tolerances = (1e-4, 1e-8)
    records = diagram(PROBLEM, tolerances, OURS, SHORT, true_states(PROBLEM))
    assert [record.parameters["tolerance"] for record in records] == [1e-4, 1e-4, 1e-8, 1e-8]
    for loose, tight in zip(records[:2], records[2:], strict=True):
        assert loose.library == tight.library and loose.failure is None is tight.failure
        assert loose.parameters["method"] == "dopri5" and loose.seconds
        assert 0 < tight.error < 1e-2 * loose.error
        assert tight.evaluations > 2 * loose.evaluations


@pytest.mark.parametrize(("factor", "wrong"), [(1 + 1e-4, False), (2.0, True), (float("nan"), True)])
def test_an_error_is_data_unless_far_beyond_the_tolerance(factor, wrong):
    elsewhere = Answer(true_states(PROBLEM).states * factor)
    (record,) = diagram(PROBLEM, (1e-6,), (PLAIN,), SHORT, elsewhere)
    assert record.wrong is wrong
    assert bool(record.seconds) is not wrong
    if wrong:
        assert "wrong answer: relative error of the states" in record.failure
    else:
        assert record.error == pytest.approx(1e-4, rel=0.1)


def test_a_slow_contender_is_passed_over_at_tighter_tolerances():
    impatient = dataclasses.replace(SHORT, patience=0.0)
    (record,) = diagram(PROBLEM, (1e-3, 1e-5), (PLAIN,), impatient, true_states(PROBLEM))
    assert record.failure == "one run took 0 s" and record.error < 1e-2
    assert record.parameters["tolerance"] == 1e-3


def test_a_contender_that_lacks_the_method_says_so_once():
    lacking = dataclasses.replace(PROBLEM, method="no such method")
    (record,) = diagram(lacking, (1e-3, 1e-5), (PLAIN,), SHORT, true_states(PROBLEM))
    assert "no such method" in record.failure and record.error is None


def test_each_problem_meets_each_method():
    titles = [case.title for case in studies()["precision"].cases(Settings(False, 1, SHORT))]
    assert titles == [f"precision, {name}, {method}" for name in PROBLEMS for method in TOLERANCES]


def test_only_chosen_workloads_are_measured():
    settings = Settings(True, 1, SHORT, workloads=("flow", *NEURAL))
    titles = [case.title for case in studies()["precision"].cases(settings)]
    assert titles == [f"precision, {name}, {method}" for name in NEURAL for method in QUICK]


def test_a_quick_case_measures_in_processes_of_its_own():
    settings = Settings(True, 1, SHORT, libraries=())
    (case,) = studies()["precision"].cases(settings)
    records = case.measure()
    assert len(records) == 2 * len(QUICK["dopri5"])
    assert all(record.study == "precision" and record.case == "D3" for record in records)
    assert all(record.failure is None and record.seconds for record in records)
    # The tightest tolerance: at the loosest no solver follows this orbit to its end.
    assert all(record.error < 1e-5 for record in records[-2:])
