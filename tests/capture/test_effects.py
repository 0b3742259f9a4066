"""Counters count exactly, and capturing leaves no trace of itself."""

import pytest
import torch
from torch import Tensor, nn

import flashode.capture
from capture.agreement import Counted, T, Y, captured_at, declined, must_capture
from flashode.declined import Declined


class CountedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Counted()
        self.calls = 100

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls = self.calls + 3
        out: Tensor = self.inner(t, self.inner(t, y))
        return out


def test_counters_are_untouched_by_capture_and_counted_by_the_solve() -> None:
    net = CountedTwice()
    captured = must_capture(net)
    assert (net.calls, net.inner.nfe) == (100, 0)
    captured.count(7)
    assert (net.calls, net.inner.nfe) == (121, 14)


def test_a_counter_is_no_reason_to_trace_again() -> None:
    net = Counted()
    program = must_capture(net).program
    for evaluations in (3, 4):
        must_capture(net).count(evaluations)
    net.nfe = 0
    captured = must_capture(net)
    captured.count(5)
    assert captured.program is program
    assert net.nfe == 5
    must_capture(net, torch.randn(9, 3))
    assert net.nfe == 5


def test_counters_belong_to_the_instance() -> None:
    first, second = Counted(), Counted()
    program = must_capture(first).program
    captured = must_capture(second)
    assert captured.program is program
    captured.count(2)
    assert (first.nfe, second.nfe) == (0, 2)


def test_a_counter_on_a_function() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        field.nfe += 1
        return y

    field.nfe = 0
    must_capture(field).count(3)
    must_capture(field).count(4)
    assert field.nfe == 7


def test_an_interrupt_passes_and_leaves_no_trace() -> None:
    log: list[int] = []

    def interrupted(t: Tensor, y: Tensor) -> Tensor:
        log.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        captured_at(interrupted, T, Y)
    assert log == []


def test_a_counter_that_depends_on_the_batch_size() -> None:
    class Large(Counted):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            if y.shape[0] > 8:
                self.nfe += 1
            return y

    net = Large()
    for size, each in ((4, 1), (16, 2), (7, 1), (20, 2)):
        net.nfe = 0
        must_capture(net, torch.randn(size, 3)).count(2)
        assert net.nfe == 2 * each


def test_a_counter_of_trajectories() -> None:
    class Many(Counted):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += y.shape[0]
            return y

    assert "more than counting" in declined(Many())


def test_a_counter_under_reflection_is_none() -> None:
    class Reflecting(Counted):
        kind = "slow"

        def rate_slow(self) -> float:
            return 1 + 0.01 * self.nfe

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            rate: float = getattr(self, f"rate_{self.kind}")()
            return y * rate

    net = Reflecting()
    assert "more than counting" in declined(net)
    assert net.nfe == 0


def test_no_counter_of_a_declined_field_moves_or_makes_it_trace_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Odd(Counted):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return torch.special.i0(super().forward(t, y))

    net = Odd()
    first = declined(net)
    assert net.nfe == 0
    net.nfe += 10

    def refuse(*arguments: object) -> None:
        raise AssertionError("a second trace")

    monkeypatch.setattr(flashode.capture, "make", refuse)
    assert declined(net) == first


def test_a_counter_that_reaches_the_result_is_none() -> None:
    class Scheduled(Counted):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            return y if self.nfe < 100 else -y

    class Multiplied(Counted):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            return y * (self.nfe + 1)

    for net in (Scheduled(), Multiplied()):
        assert "more than counting" in declined(net)
        assert net.nfe == 0


def test_uneven_counters() -> None:
    class Uneven(Counted):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += y.shape[0]
            return y

    net = Uneven()
    assert "more than counting" in declined(net)
    assert net.nfe == 0


def test_a_decline_leaves_no_trace() -> None:
    log: list[float] = []

    class Logging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.history: list[int] = [1]
            self.last: Tensor | None = None

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.history.append(2)
            return y

    class Keeping(Logging):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.last = y
            return y

    class Creating(Logging):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.fresh = 1
            return y

    def appending(t: Tensor, y: Tensor) -> Tensor:
        log.append(0.0)
        return y

    logging, keeping, creating = Logging(), Keeping(), Creating()
    assert "history" in declined(logging)
    assert logging.history == [1]
    assert "last" in declined(keeping)
    assert keeping.last is None
    assert "fresh" in declined(creating)
    assert not hasattr(creating, "fresh")
    assert "'log'" in declined(appending)
    assert log == []


def test_a_field_with_effects_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Logging(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.history: list[int] = []

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.history.append(len(self.history))
            return y

    net = Logging()
    first = declined(net)
    net(T, Y)
    monkeypatch.setattr(flashode.capture, "make", None)
    assert declined(net) == first


def test_class_attributes_are_put_back() -> None:
    class Shared(nn.Module):
        calls = 0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            type(self).calls += 1
            return y

    assert "calls" in declined(Shared())
    assert Shared.calls == 0


def test_random_generator_is_untouched() -> None:
    generator = torch.get_rng_state()
    must_capture(lambda t, y: y * 2)
    assert isinstance(captured_at(lambda t, y: y + torch.rand(3), T, Y), Declined)
    assert torch.equal(torch.get_rng_state(), generator)


def test_gradients_and_graphs_of_the_user_are_untouched() -> None:
    net = Counted()
    weight = torch.randn(3, 3, requires_grad=True)
    derived = weight.sin() @ net.layer.weight

    must_capture(lambda t, y: net.layer(y) @ derived)
    assert net.layer.weight.grad is None
    # The graph behind a closure tensor is still there.
    derived.sum().backward()
    assert weight.grad is not None


def test_a_backward_inside_the_field() -> None:
    net = Counted()

    def field(t: Tensor, y: Tensor) -> Tensor:
        net.layer(torch.ones(3)).sum().backward()
        return y

    assert isinstance(captured_at(field, T, Y), Declined)
    assert net.layer.weight.grad is None


def test_the_state_is_not_changed() -> None:
    y = Y.clone()

    def field(t: Tensor, y: Tensor) -> Tensor:
        y *= 2
        return y

    assert "changes y in place" in declined(field, y)
    assert torch.equal(y, Y)
