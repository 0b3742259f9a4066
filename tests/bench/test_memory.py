"""The peak of a run is what it held at once, not what earlier runs left behind."""

import sys

import pytest

from flashode.bench.measuring.isolation import isolated
from flashode.bench.measuring.memory import physical_memory, usage
from flashode.bench.studies.adjoint import workload
from held_memory import MEGABYTE, small_after_large


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets an earlier height")
def test_peak_is_of_the_run_alone():
    large, small = isolated(1, small_after_large)
    assert 190 * MEGABYTE < large < 220 * MEGABYTE
    assert 35 * MEGABYTE < small < 60 * MEGABYTE


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the first run is measured, imports and all")
def test_backprop_through_the_steps_needs_more_than_the_discrete_adjoint():
    solved = workload("target", 100)
    ours = isolated(1, usage, solved, "flashode", "discrete", 60.0).peak_bytes
    plain = isolated(1, usage, solved, "flashode eager", "discrete", 60.0).peak_bytes
    assert ours is not None and plain is not None
    assert plain > 100 * 4 * 1024 * 50 * 4
    assert plain > 10 * ours


def test_a_contender_out_of_patience_runs_once():
    used = isolated(1, usage, workload("steps", 10), "flashode eager", "discrete", 0.0)
    assert used.first_seconds > 0
    if sys.platform == "linux":
        assert used.peak_bytes is None


def test_physical_memory_is_that_of_a_machine():
    assert 2**28 < physical_memory() < 2**50
