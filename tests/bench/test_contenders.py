"""Every contender with a small workload: the same answer as the truth, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from flashode.bench.contenders import (
    CONTINUOUS,
    DISCRETE,
    FORWARD,
    SEMINORM,
    Contender,
    Unsupported,
    contender,
    contenders,
)
from flashode.bench.measuring.isolation import isolated
from flashode.bench.measuring.race import Effort, race
from flashode.bench.records.record import Record
from flashode.bench.tasks.fields.networks import network
from flashode.bench.tasks.problems import PROBLEMS
from flashode.bench.tasks.workloads import Start, Times, Workload

SMALL = Workload(
    name="small",
    summary="2-8-2 tanh, 3 trajectories",
    field=network(2, 8, 2),
    start=Start((3, 2)),
    times=Times(0.0, 1.0, 4),
    rtol=1e-6,
    atol=1e-6,
    precision="float64",
)
BRIEF = Effort(samples=1, shortest=0.0, budget=0.0)
INSTALLED = [one for one in contenders() if one.missing is None]
# It interpolates the solution between output times by cubic splines: a few of them are too few for it.
INEXACT = "torchdyn interpolated adjoint"


def raced(workload: Workload, some: Sequence[Contender]) -> list[Record]:
    """In a process of its own, because that is how peers are measured, and some change a process for good."""
    return isolated(1, race, "made", workload, [(one.library, one.mode) for one in some], BRIEF)


@pytest.fixture(scope="module")
def records() -> dict[str, Record]:
    """What every contender makes of the small workload."""
    return {record.label: record for record in raced(SMALL, INSTALLED)}


@pytest.mark.parametrize("one", INSTALLED, ids=lambda one: one.label)
def test_answer_is_right_and_evaluations_are_counted(one: Contender, records: dict[str, Record]) -> None:
    record = records[one.label]
    if one.label == INEXACT:
        assert record.wrong and record.failure is not None and "gradients" in record.failure
        return
    assert record.failure is None, record.failure
    assert record.seconds and record.error is not None and record.error < 1e-4
    assert (record.gradient_error is None) == (one.mode == FORWARD)
    # dopri5 takes six evaluations a step, and at least two steps at this tolerance.
    assert record.evaluations is not None and record.evaluations >= 12


def test_given_steps_have_no_seminorm() -> None:
    fixed = replace(SMALL, method="rk4", step_size=0.1)
    for record in raced(fixed, [one for one in INSTALLED if one.mode == SEMINORM]):
        assert record.failure == "not supported: given steps have no error norm"
        assert not record.wrong and not record.seconds


def test_ours_come_first_with_every_mode() -> None:
    names = [(one.library, one.mode) for one in contenders()]
    ours = [mode for library, mode in names if library == "flashode"]
    assert set(ours) == {FORWARD, DISCRETE, CONTINUOUS, SEMINORM}
    assert all(library.startswith("flashode") for library, _ in names[: len(ours) + 3])
    assert {"torchdiffeq", "torchode", "torchdyn", "diffrax", "SciPy"} <= {library for library, _ in names}


def test_scipy_says_what_it_cannot_do() -> None:
    with pytest.raises(Unsupported, match="SciPy has no rk4"):
        contender("SciPy", FORWARD).prepare(replace(SMALL, method="rk4"))


def test_a_library_that_is_absent_is_named() -> None:
    absent = replace(contender("SciPy", FORWARD), packages=("no-such-package",))
    assert absent.missing == "no-such-package not installed"


@pytest.mark.parametrize("library", ["torchdyn", "torchode"])
@pytest.mark.parametrize("problem", ["A3", "E1"])
def test_a_field_gets_the_time_as_it_expects_it(problem: str, library: str) -> None:
    one = contender(library, FORWARD)
    if one.missing is not None:
        pytest.skip(one.missing)
    solved = replace(PROBLEMS[problem], rtol=1e-6, atol=1e-6)
    (record,) = raced(solved, [one])
    assert record.failure is None and record.error is not None and record.error < 1e-3
