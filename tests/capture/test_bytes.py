"""Captures take a bounded number of bytes, and no more than is said of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
import flashode.capture
from capture.agreement import captured_at, must_capture
from flashode.capture import cache
from flashode.engines.compiled import memo
from flashode.problem import settings
from flashode.problem import times as output_times
from flashode.program import Constant, Gather, SegmentSum

T = torch.linspace(0, 1, 3)


def mixing(t: Tensor, y: Tensor) -> Tensor:
    out: Tensor = torch.tanh(y - y.mean(0)) * torch.linspace(0.0, 1.0, 3) * (y.var(0) + 1)
    return out - torch.roll(y, 1, 0)


def entries() -> list[Any]:
    return list(flashode.capture._cache.all_entries())


def weight() -> int:
    return sum(entry.weight for entry in entries())


GROWTH = """
import torch, flashode, flashode.capture
from flashode.bench.measuring.memory import raised
from capture.test_bytes import T, mixing, weight

def solve(count):
    for i in range(count):
        flashode.odeint(mixing, torch.rand(5000 - i, 3), T, method="rk4")

solve(2)
flashode.capture._cache.clear()
with flashode.use_engine("native"):
    print(raised(lambda: solve(5)), weight())
"""


def test_a_mixing_field_takes_what_is_said_of_it() -> None:
    """It took 6 MB for each batch size, with an object for each number."""
    tests = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True, cwd=tests
    )
    grown, said = map(int, done.stdout.split())
    assert grown < 5 * 3e6
    assert 0.5 < grown / said < 2


def test_numbers_of_a_program_are_no_objects() -> None:
    program = must_capture(mixing, torch.rand(500, 3)).program
    for op in program.ops:
        match op:
            case Gather(index=numbers) | SegmentSum(segment=numbers):
                assert numbers.nbytes == 4 * len(numbers)  # type: ignore[attr-defined]
            case Constant(values=values):
                assert values.nbytes == 8 * len(values)  # type: ignore[attr-defined]
    assert isinstance(program.reach().rows, bytes)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.rate = 1.0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.layer(y) * self.rate
        return out


def _fields(net: Net) -> list[Callable[[Tensor, Tensor], Tensor]]:
    return [net, mixing, lambda t, y: net(t, y) + 1, lambda t, y: net(t, y) - y]


def test_what_was_unused_for_longest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    fields, y = _fields(Net()), torch.rand(9, 3)
    programs = [must_capture(field, y).program for field in fields[:3]]
    assert must_capture(fields[0], y).program is programs[0]
    monkeypatch.setattr(cache, "MAX_BYTES", weight() + 1000)
    last = must_capture(fields[3], y).program
    # Of code as of a class: the second was used before the first.
    assert [must_capture(fields[i], y).program is programs[i] for i in (0, 2)] == [True, True]
    assert must_capture(fields[3], y).program is last
    traces = []
    real = flashode.capture.make
    monkeypatch.setattr(flashode.capture, "make", lambda *arguments: traces.append(1) or real(*arguments))
    assert must_capture(fields[1], y).program is not programs[1]
    assert traces == [1]
    assert weight() <= cache.MAX_BYTES


def test_a_short_way_counts_as_a_use(monkeypatch: pytest.MonkeyPatch) -> None:
    fields, y = _fields(Net()), torch.rand(9, 3)
    for field in (fields[0], fields[2], fields[0]):
        flashode.odeint(field, y, T)
    monkeypatch.setattr(cache, "MAX_BYTES", weight() + 1000)
    must_capture(fields[3], y)
    monkeypatch.setattr(flashode.capture, "make", None)
    must_capture(fields[0], y)


def test_a_capture_larger_than_the_bound_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 1)
    for field in _fields(Net()):
        program = must_capture(field, torch.rand(9, 3)).program
        assert must_capture(field, torch.rand(9, 3)).program is program
        assert len(entries()) == 1


def test_any_number_of_batch_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_BYTES", 1_000_000)
    for size in range(100, 120):
        must_capture(mixing, torch.rand(size, 3))
        assert weight() <= 1_000_000
    assert 1 < len(entries()) < 20


def test_literals_count() -> None:
    must_capture(lambda t, y: torch.eye(100) @ y, torch.rand(100, 3))
    (entry,) = entries()
    assert entry.weight > 4 * 100 * 100


def test_declined_fields_count() -> None:
    captured_at(lambda t, y: torch.special.i0(y), torch.tensor(0.0), torch.rand(9, 3))
    (entry,) = entries()
    assert 0 < entry.weight < 100_000


def test_what_is_kept_for_settings_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "MAX_BYTES", 100_000)
    for field in _fields(Net()):
        for i in range(20):
            flashode.odeint(field, torch.rand(9, 3), torch.linspace(0, 1, 5), rtol=1e-3 + i * 1e-4)
            setups = [setup for each in memo._memos.values() for setup in each.setups.values()]
            assert 0 < sum(setup.weight for setup in setups) <= 100_000


def test_settings_with_many_times_are_not_kept() -> None:
    settings._kept.cache_clear()
    for count in (10, 2000):
        times = torch.linspace(0.1, 0.9, count).tolist()
        flashode.odeint(Net(), torch.rand(9, 3), T, options={"step_t": times})
        flashode.odeint(Net(), torch.rand(9, 3), torch.linspace(0, 1, 10 * count))
    assert settings._kept.cache_info().currsize == 2  # the default ones, and those with ten times
    assert all(len(times.values) <= 4096 for times in output_times._kept.values())


def test_the_readme_states_the_bounds() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    assert f"up to {cache.MAX_BYTES >> 20} MiB of them" in readme
    assert f"another {memo.MAX_BYTES >> 20} MiB" in readme
