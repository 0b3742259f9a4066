"""Counters of every kind that programs keep: exact, or no capture."""

import types
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode.capture
from capture.agreement import Y, declined, must_capture

Field = Callable[[Any, Any], Any]
NFE = 0
TALLY = {"calls": 0, "rate": 2.0}
COUNT = [0]


class Keeping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stats: dict[str, Any] = {"nfe": 0, "rate": 2.0}
        self.counts = [0, 7]
        self.calls = defaultdict(int, forward=0)


class InTable(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.stats["nfe"] += 1
        return y * self.stats["rate"]

    def counted(self) -> int:
        return int(self.stats["nfe"])


class InList(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.counts[0] += 2
        return y * self.counts[1]

    def counted(self) -> int:
        return self.counts[0] // 2


class InDefault(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls["forward"] += 1
        return y

    def counted(self) -> int:
        return self.calls["forward"]


class InBoth(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.stats["nfe"] += 1
        self.counts[0] += 1
        return y

    def counted(self) -> int:
        assert self.stats["nfe"] == self.counts[0]
        return self.counts[0]


def in_globals() -> tuple[Field, Callable[[], int]]:
    def field(t: Tensor, y: Tensor) -> Tensor:
        global NFE
        NFE += 1
        return y * 2

    before = NFE
    return field, lambda: NFE - before


def in_a_cell() -> tuple[Field, Callable[[], int]]:
    calls = 0

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return y * 2

    return field, lambda: calls


def in_a_closed_over_list() -> tuple[Field, Callable[[], int]]:
    count = [0]

    def field(t: Tensor, y: Tensor) -> Tensor:
        count[0] += 1
        return y * 2

    return field, lambda: count[0]


def in_a_global_table() -> tuple[Field, Callable[[], int]]:
    def field(t: Tensor, y: Tensor) -> Tensor:
        TALLY["calls"] += 1
        COUNT[0] += 1
        return y * TALLY["rate"]

    before = COUNT[0]
    return field, lambda: COUNT[0] - before


def _of(kind: type[Any]) -> Callable[[], tuple[Field, Callable[[], int]]]:
    def make() -> tuple[Field, Callable[[], int]]:
        net = kind()
        return net, net.counted

    return make


COUNTING = [
    *map(_of, (InTable, InList, InDefault, InBoth)),
    in_globals,
    in_a_cell,
    in_a_closed_over_list,
    in_a_global_table,
]


@pytest.mark.parametrize("make", COUNTING)
def test_it_counts_exactly_and_is_traced_once(
    make: Callable[[], tuple[Field, Callable[[], int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    field, counted = make()
    captured = must_capture(field)
    assert counted() == 0
    captured.count(7)
    assert counted() == 7
    monkeypatch.setattr(flashode.capture, "make", None)
    again = must_capture(field, torch.randn(9, 3))
    assert counted() == 7
    again.count(5)
    assert counted() == 12
    assert again.program is captured.program
    # The function itself counts on.
    field(torch.tensor(0.0), Y)
    assert counted() == 13


def test_what_else_is_in_the_table_is_watched() -> None:
    net = InTable()
    program = must_capture(net).program
    net.stats["rate"] = 3.0
    assert must_capture(net).program != program
    net.stats["other"] = 0
    must_capture(net).count(2)
    assert net.stats == {"nfe": 2, "rate": 3.0, "other": 0}


class Read(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.stats["nfe"] += 1
        return y * (1 + self.stats["nfe"])


class ReadBackwards(Keeping):
    def __init__(self) -> None:
        super().__init__()
        self.counts = [0]

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.counts[0] += 1
        return y * self.counts[-1]


class ReadWhole(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.counts[0] += 1
        return y * sum(self.counts)


class ReadByAnotherName(Keeping):
    def __init__(self) -> None:
        super().__init__()
        self.other = self.stats

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.stats["nfe"] += 1
        return y * (1 + self.other["nfe"])


class Nested(Keeping):
    def __init__(self) -> None:
        super().__init__()
        self.deep = {"stats": {"nfe": 0}}

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        for key in self.deep:
            self.deep[key]["nfe"] += 1
        return y * (1 + self.deep["stats"]["nfe"])


class InNamespace(Keeping):
    def __init__(self) -> None:
        super().__init__()
        self.space = types.SimpleNamespace(nfe=0)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.space.nfe += 1
        return y if self.space == types.SimpleNamespace(nfe=0) else -y


class Growing(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.counts[0] += self.counts[1]
        return y


class Halved(Keeping):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.counts[1] -= 1
        return y


@pytest.mark.parametrize(
    "kind", [Read, ReadBackwards, ReadWhole, ReadByAnotherName, Nested, InNamespace, Growing, Halved]
)
def test_a_count_that_may_reach_the_result_is_none(kind: Callable[[], Keeping]) -> None:
    net = kind()
    before = {name: value for name, value in net.__dict__.items() if not name.startswith("_")}
    copies = {name: repr(value) for name, value in before.items()}
    assert "more than counting" in declined(net)
    assert {name: repr(value) for name, value in before.items()} == copies


def test_a_cell_that_another_function_reads() -> None:
    calls = 0

    def rate() -> int:
        return calls

    def field(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return y * rate()

    assert "more than counting" in declined(field)
    assert calls == 0


def test_a_global_that_another_function_reads() -> None:
    global NFE

    def rate() -> int:
        return NFE

    def field(t: Tensor, y: Tensor) -> Tensor:
        global NFE
        NFE += 1
        return y * rate()

    NFE = 5
    assert "more than counting" in declined(field)
    assert NFE == 5


class Floating(nn.Module):
    """A count that is a floating-point number, as some libraries keep it."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.nfe = start

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return -y


@pytest.mark.parametrize("start", [0.0, 2.0, 0.5, 0.1, 2.0**53, float("inf")])
def test_a_count_in_floating_point(start: float) -> None:
    must_capture(Floating())
    net, other = Floating(start), Floating(start)
    must_capture(net).count(100)
    for _ in range(100):
        other.nfe += 1
    assert (net.nfe, type(net.nfe)) == (other.nfe, float)


def test_a_count_that_a_step_does_not_change_is_none() -> None:
    class Large(Floating):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            return y

    declined(Large(2.0**60))
