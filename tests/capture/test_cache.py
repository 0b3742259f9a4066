"""The cache is bounded, holds nothing of the user's, and saves tracing."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode.capture
from capture.agreement import T, Y, captured_at, must_capture
from flashode.capture import Capture, cache, changing
from flashode.declined import Declined


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.rate = 1.0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.layer(y) * self.rate
        return out


def test_a_module_and_its_parameters_are_not_kept() -> None:
    net = Net()
    must_capture(net)
    gone = weakref.ref(net), weakref.ref(net.layer.weight)
    del net
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_a_module_that_refers_to_itself_is_not_kept() -> None:
    net = Net()
    net.itself = [net]
    must_capture(net)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_closures_are_not_kept() -> None:
    def make(net: Net, tensor: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda t, y: net(t, y) + tensor

    net, tensor = Net(), torch.randn(3)
    must_capture(make(net, tensor))
    gone = weakref.ref(net), weakref.ref(tensor)
    del net, tensor
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


def test_declined_fields_are_not_kept() -> None:
    class Declining(Net):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return torch.special.i0(self.layer(y))

    net = Declining()
    assert isinstance(captured_at(net, T, Y), Declined)
    gone = weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None


def test_classes_are_not_kept() -> None:
    class Local(Net):
        pass

    must_capture(Local())
    gone = weakref.ref(Local)
    del Local
    gc.collect()
    assert gone() is None
    assert list(flashode.capture._cache.all_entries()) == []


def test_a_lambda_made_afresh_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    traces = []
    real = flashode.capture.make
    monkeypatch.setattr(flashode.capture, "make", lambda *arguments: traces.append(1) or real(*arguments))
    programs = set()
    for i in range(1000):
        shift = torch.full((3,), float(i))
        captured = must_capture(lambda t, y, shift=shift: net(t, y) + shift)
        assert any(parameter is shift for parameter in captured.parameters())
        programs.add(id(captured.program))
    assert len(traces) == 1
    assert len(programs) == 1


def test_ten_thousand_lambdas_over_the_same_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    net, shift = Net(), torch.ones(3)

    def solves(count: int) -> list[weakref.ref[Any]]:
        functions = []
        for _ in range(count):
            field = lambda t, y: net(t, y) + shift  # noqa: E731
            must_capture(field)
            functions.append(weakref.ref(field))
        return functions

    solves(1)
    monkeypatch.setattr(flashode.capture, "make", None)
    gc.collect()
    before = len(gc.get_objects())
    functions = solves(10_000)
    assert [reference() for reference in functions[:-1]] == [None] * 9_999
    del functions
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert sum(1 for _ in flashode.capture._cache.all_entries()) == 1


def test_a_wrapper_made_afresh_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Conditioned(nn.Module):
        def __init__(self, net: Net, context: Tensor) -> None:
            super().__init__()
            self.net, self.context = net, context

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.net(t, y) * self.context

    net = Net()
    must_capture(Conditioned(net, torch.randn(3)))
    monkeypatch.setattr(flashode.capture, "make", None)
    for _ in range(10):
        must_capture(Conditioned(net, torch.randn(3)))


def test_a_decline_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    field = lambda t, y: torch.special.i0(net(t, y))  # noqa: E731
    first = captured_at(field, T, Y)
    monkeypatch.setattr(flashode.capture, "make", None)
    assert captured_at(field, T, Y) == first
    assert captured_at(field, T, torch.randn(9, 3)) == first


def test_entries_for_one_class_are_bounded() -> None:
    nets = [Net() for _ in range(cache.MAX_ENTRIES + 5)]
    for i, net in enumerate(nets):
        net.rate = 1.0 + i
        must_capture(net)
    assert sum(1 for _ in flashode.capture._cache.all_entries()) == cache.MAX_ENTRIES
    program = must_capture(nets[-1]).program
    must_capture(nets[7])
    assert must_capture(nets[-1]).program is program


def test_a_number_that_changes_at_every_solve() -> None:
    class Annealed(Net):
        def __init__(self) -> None:
            super().__init__()
            self.nfe = 0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            return super().forward(t, y)

    net, steady = Annealed(), Annealed()
    for i in range(changing.MAX_VALUES):
        net.rate = 1.0 + i
        must_capture(net).count(3)
    reasons = set()
    for i in range(5):
        net.rate, net.nfe = -1.0 - i, i
        captured = captured_at(net, T, torch.randn(4 + i, 3))
        assert isinstance(captured, Declined)
        reasons.add(captured.reason)
    (reason,) = reasons
    assert reason.startswith("the function.rate changes")
    assert "nfe" not in reason
    must_capture(steady)
    steady.rate = -17.0
    must_capture(steady)


def test_a_number_closed_over_by_a_function_made_afresh() -> None:
    net = Net()

    def scaled(rate: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda t, y: net(t, y) * rate

    for i in range(changing.MAX_VALUES_AFRESH):
        must_capture(scaled(1.0 + i))
    captured = captured_at(scaled(-1.0), T, Y)
    assert isinstance(captured, Declined)
    assert "'rate'" in captured.reason


def test_many_functions_of_one_code_are_no_change() -> None:
    def scaled(rate: float) -> Callable[[Tensor, Tensor], Tensor]:
        return lambda t, y: y * rate

    fields = [scaled(1.0 + i) for i in range(changing.MAX_VALUES_AFRESH + 4)]
    for field in fields:
        must_capture(field)


def test_codes_are_bounded() -> None:
    for i in range(cache.MAX_CODES + 3):
        space: dict[str, Any] = {}
        exec(f"def field(t, y):\n    return y * {i}.5", space)
        must_capture(space["field"], Y[0])
    assert sum(1 for _ in flashode.capture._cache.all_entries()) <= cache.MAX_CODES


def test_a_code_that_is_used_outlives_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def used(t: Tensor, y: Tensor) -> Tensor:
        return y * 0.25

    monkeypatch.setattr(cache, "MAX_CODES", 4)
    program = must_capture(used, Y[0]).program
    for i in range(12):
        space: dict[str, Any] = {}
        exec(f"def field(t, y):\n    return y * {i}.75", space)
        must_capture(space["field"], Y[0])
        assert must_capture(used, Y[0]).program is program


def test_batch_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_SIZES", 4)
    net = Net()
    for size in range(2, 12):
        must_capture(net, torch.randn(size, 3))
    (entry,) = flashode.capture._cache.all_entries()
    assert len(entry.confirmations) <= 4


def test_shapes_and_dtypes_have_their_own_programs() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y

    widths = [
        must_capture(field, torch.randn(shape)).program.widths[1] for shape in ((4, 3), (4, 2), (4,), (3,))
    ]
    assert widths == [3, 2, 4, 3]
    captured = captured_at(field, T.double(), Y.double())
    assert isinstance(captured, Capture)
    assert sum(1 for _ in flashode.capture._cache.all_entries()) == 5
