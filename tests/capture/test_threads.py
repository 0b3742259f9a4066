"""Captures in several threads, and next to threads that do other things."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode.capture
from capture.agreement import Counted, T, Y, captured_at
from flashode.capture import Capture
from flashode.declined import Declined


def together(work: Callable[[int], Any], threads: int = 4) -> list[Any]:
    results: list[Any] = [None] * threads
    start = threading.Barrier(threads)

    def run(i: int) -> None:
        start.wait()
        results[i] = work(i)

    running = [threading.Thread(target=run, args=(i,)) for i in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return results


@pytest.fixture
def company() -> Iterator[None]:
    """Another thread, which waits."""
    over = threading.Event()
    other = threading.Thread(target=over.wait)
    other.start()
    yield
    over.set()
    other.join()


class Deep(Counted):
    """Takes a while to be traced."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out = super().forward(t, y)
        for _ in range(20):
            out = torch.sin(out)
        return out


def test_one_module_in_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Deep()
    traces = []
    real = flashode.capture.make
    monkeypatch.setattr(flashode.capture, "make", lambda *arguments: traces.append(1) or real(*arguments))
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        captures = together(lambda i: captured_at(net, T, Y))
    finally:
        sys.setswitchinterval(interval)
    assert all(isinstance(each, Capture) for each in captures)
    assert len(traces) == 1
    assert net.nfe == 0


def test_global_state_is_left_alone() -> None:
    streams = sys.stdout, sys.stderr
    seen = []

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.sin(y)

    def looked(*arguments: Any) -> Any:
        seen.append((sys.stdout, sys.stderr))
        torch.rand(1)
        return real(*arguments)

    real = flashode.capture.making._compare
    generator = torch.get_rng_state()
    flashode.capture.making._compare = looked
    try:
        assert isinstance(captured_at(field, T, Y), Capture)
    finally:
        flashode.capture.making._compare = real
    assert seen == [streams]
    # What another thread draws meanwhile stays drawn.
    assert not torch.equal(torch.get_rng_state(), generator)


@pytest.mark.usefixtures("company")
def test_a_reason_that_another_thread_may_have_caused_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Counted()
    real = flashode.capture.making.trace

    def disturbed(*arguments: Any) -> Any:
        net.nfe += 5
        monkeypatch.setattr(flashode.capture.making, "trace", real)
        return real(*arguments)

    monkeypatch.setattr(flashode.capture.making, "trace", disturbed)
    assert isinstance(captured_at(net, T, Y), Declined)
    assert isinstance(captured_at(net, T, Y), Capture)


@pytest.mark.usefixtures("company")
def test_a_lasting_reason_is_remembered_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    field = lambda t, y: torch.special.i0(y)  # noqa: E731
    for _ in range(flashode.capture.ATTEMPTS):
        assert isinstance(captured_at(field, T, Y), Declined)
    monkeypatch.setattr(flashode.capture, "make", None)
    assert isinstance(captured_at(field, T, Y), Declined)
