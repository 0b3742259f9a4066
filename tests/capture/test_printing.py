"""Code that may print is captured where it does not."""

import builtins
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import T, Y, captured_at, declined, true
from flashode.capture import Capture

SHOW = print


class Talking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.verbose = False

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.verbose:
            print("evaluating")
        return y * 2


def test_a_flag_decides(capsys: pytest.CaptureFixture[str]) -> None:
    net = Talking()
    program = true(net).program
    net.verbose = True
    assert "it calls print()" in declined(net)
    assert capsys.readouterr().out == ""
    net.verbose = False
    assert true(net).program is program


def test_a_batch_size_decides(capsys: pytest.CaptureFixture[str]) -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        if y.shape[0] > 8:
            print("large")
        return y * 2

    true(field)
    assert "print" in declined(field, torch.randn(16, 3))
    assert capsys.readouterr().out == ""


def handed_on(t: Tensor, y: Tensor) -> Tensor:
    list(map(print, [1, 2]))
    return y


def starred(t: Tensor, y: Tensor) -> Tensor:
    print(*[1, 2])
    return y


def caught(t: Tensor, y: Tensor) -> Tensor:
    try:
        print("once")
    except BaseException:
        print("twice")
    return y


def renamed(t: Tensor, y: Tensor) -> Tensor:
    SHOW("evaluating")
    return y


def through_the_module(t: Tensor, y: Tensor) -> Tensor:
    builtins.print("evaluating")
    return y


@pytest.mark.parametrize("field", [handed_on, starred, caught, renamed, through_the_module])
def test_what_prints_in_other_ways(
    field: Callable[[Any, Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    declined(field)
    assert capsys.readouterr().out == ""


def test_a_print_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(builtins, "print", lines.append)
    net = Talking()
    assert "print" in declined(net)
    assert lines == []


def test_a_profiler_is_left_alone() -> None:
    events = []

    def profiling(frame: Any, event: str, argument: Any) -> None:
        events.append(event)

    net = Talking()
    sys.setprofile(profiling)
    try:
        found = captured_at(net, T, Y)
        assert sys.getprofile() is profiling
    finally:
        sys.setprofile(None)
    assert not isinstance(found, Capture)
    assert isinstance(captured_at(net, T, Y), Capture)
    assert sys.getprofile() is None


def test_a_thread_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    over, started = threading.Event(), threading.Event()

    def chatting() -> None:
        while not over.is_set():
            print("chat")
            started.set()

    other = threading.Thread(target=chatting)
    other.start()
    started.wait()
    try:
        true(Talking())
    finally:
        over.set()
        other.join()
    assert "chat" in capsys.readouterr().out
