"""The peak of a run is what it held at once, not what earlier runs left behind."""

import sys

import pytest
import torch

from flashode.bench.measuring.isolation import isolated
from flashode.bench.measuring.memory import physical_memory, raised
from flashode.bench.measuring.race import Effort, race
from flashode.bench.studies.adjoint import workload
from held_memory import MEGABYTE, small_after_large

BRIEF = Effort(samples=1, shortest=0.0, budget=0.0)
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets an earlier height")


@only_linux
def test_peak_is_of_only_the_run():
    large, small = isolated(1, small_after_large)
    assert 190 * MEGABYTE < large < 220 * MEGABYTE
    assert 35 * MEGABYTE < small < 60 * MEGABYTE


@only_linux
@pytest.mark.parametrize("plain_first", [True, False])
def test_backprop_through_the_steps_needs_more_than_the_discrete_adjoint(plain_first):
    names = [("flashode", "discrete"), ("flashode eager", "discrete")]
    order = names[::-1] if plain_first else names
    records = isolated(1, race, "test", workload("target", 100), order, BRIEF)
    peaks = {record.library: record.peak_bytes for record in records}
    assert peaks["flashode eager"] > 100 * 4 * 1024 * 50 * 4
    assert peaks["flashode eager"] > 10 * peaks["flashode"]


def test_memory_is_measured_only_where_asked():
    effort = Effort(samples=1, shortest=0.0, budget=0.0, peaks=False)
    (record,) = race("test", workload("steps", 10), [("flashode eager", "discrete")], effort)
    assert record.failure is None and record.peak_bytes is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device")
def test_on_a_device_the_peak_is_that_of_its_allocator():
    held = raised(lambda: torch.ones(10 * MEGABYTE, dtype=torch.uint8, device="cuda"), "cuda")
    assert 10 * MEGABYTE <= held < 11 * MEGABYTE
    (record,) = race("test", workload("steps", 10, "cuda"), [("flashode eager", "discrete")], BRIEF)
    assert record.failure is None and record.peak_bytes > 10 * 4 * 128 * 50 * 4


def test_physical_memory_is_that_of_a_machine():
    assert 2**28 < physical_memory() < 2**50
