"""Counters that are buffers: ``self.evaluations += 1``."""

from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode
from capture.agreement import Y, declined, must_capture, true

TIMES = torch.linspace(0, 1, 4)


class Net(nn.Module):
    def __init__(self, start: Any = 0.0, amount: float = 1) -> None:
        super().__init__()
        self.layer, self.amount = nn.Linear(3, 3), amount
        self.register_buffer("count", torch.tensor(start))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.count += self.amount
        out: Tensor = self.layer(y)
        return torch.tanh(out)


@pytest.mark.parametrize("start", [0.0, 0, [0.0]], ids=str)
@pytest.mark.parametrize("solve", ["odeint", "odeint_adjoint"])
def test_it_grows_as_in_torchdiffeq(start: Any, solve: str) -> None:
    net, counts = Net(start), []
    for library in (flashode, flashode, torchdiffeq):
        net.count.zero_()  # type: ignore[operator]
        y0 = Y.clone().requires_grad_()
        getattr(library, solve)(net, y0, TIMES, method="rk4").sum().backward()
        counts.append(net.count.clone())  # type: ignore[operator]
    assert flashode.explain(net, Y).counters == {"count": 1}
    torch.testing.assert_close(counts[0], counts[2])
    torch.testing.assert_close(counts[1], counts[2])


def test_capturing_counts_nothing_and_leaves_no_version() -> None:
    net = Net(5.0)
    version = net.count._version  # type: ignore[union-attr]
    captured = must_capture(net)
    assert net.count == 5 and net.count._version == version  # type: ignore[union-attr]
    captured.count(3)
    assert net.count == 8
    net.amount = 0.5
    must_capture(net).count(4)
    assert net.count == 10
    net.count = torch.tensor(1.0)
    must_capture(net).count(2)
    assert net.count == 2


class Reading(Net):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.count += 1
        return y * self.count


class ReadingBefore(Net):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        y = y * self.count
        self.count += 1
        return y


class Branching(Net):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.count += 1
        return y if self.count < 3 else -y


class OfTime(Net):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.count += t
        return y


class Scaling(Net):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.count *= 2
        return y


class Shared(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("statistics", torch.zeros(4))
        self.count = self.statistics[0]  # type: ignore[index]

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.count += 1
        return y + self.statistics[:3]  # type: ignore[index,no-any-return]


class Several(Net):
    def __init__(self) -> None:
        super().__init__([0.0, 0.0])


@pytest.mark.parametrize("kind", [Reading, ReadingBefore, Branching, OfTime, Scaling, Shared, Several])
def test_what_does_more_than_count_is_declined(kind: type[Net]) -> None:
    net = kind()
    before = net.count.clone()  # type: ignore[operator]
    declined(net)
    torch.testing.assert_close(net.count, before)


def test_several_counters_and_steps() -> None:
    class Two(Net):
        def __init__(self) -> None:
            super().__init__()
            self.nfe, self.more = 0, torch.zeros(())

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            self.more += 2
            self.more.add_(1)
            return super().forward(t, y)

    net = Two()
    must_capture(net).count(5)
    assert (net.nfe, float(net.more), float(net.count)) == (5, 15.0, 5.0)  # type: ignore[arg-type]


def test_uneven_counts() -> None:
    class Uneven(Net):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.count += y.shape[0]
            return y

    for size in (4, 6):
        net = Uneven()
        must_capture(net, torch.randn(size, 3)).count(2)
        assert net.count == 2 * size
    true(Net())
