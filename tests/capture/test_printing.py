"""Code that may print is not captured: it prints at each evaluation, and at no other time."""

import builtins
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from capture.agreement import declined
from flashode.declined import source

SHOW = print
HALVES = torch.linspace(0, 1, 3)


class Talking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.verbose = True

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.verbose:
            print("evaluating")
        return y * 2


def large(t: Tensor, y: Tensor) -> Tensor:
    if y.shape[0] > 8:
        print("evaluating")
    return y * 2


def handed_on(t: Tensor, y: Tensor) -> Tensor:
    list(map(print, ["evaluating"]))
    return y


def starred(t: Tensor, y: Tensor) -> Tensor:
    print(*["evaluating"])
    return y


def caught(t: Tensor, y: Tensor) -> Tensor:
    try:
        print("evaluating")
    except BaseException:
        print("twice")
    return y


def renamed(t: Tensor, y: Tensor) -> Tensor:
    SHOW("evaluating")
    return y


def through_the_module(t: Tensor, y: Tensor) -> Tensor:
    builtins.print("evaluating")
    return y


def in_another(t: Tensor, y: Tensor) -> Tensor:
    return starred(t, y)


@pytest.mark.parametrize(
    "field", [Talking(), large, handed_on, starred, caught, renamed, through_the_module, in_another]
)
def test_what_prints_prints_at_each_evaluation(
    field: Callable[[Any, Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    y = torch.randn(16, 3)
    assert "print" in declined(field, y)
    explanation = flashode.explain(field, y)
    assert explanation.engine == "eager"
    reason = explanation.reasons["native"][0]
    assert reason.remedy == "print after the solve"
    assert reason.where is not None
    assert "print" in source(reason.where) or "SHOW" in source(reason.where)
    assert capsys.readouterr().out == ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", flashode.FallbackWarning)
        flashode.odeint(field, y, HALVES, method="euler")
    assert capsys.readouterr().out == "evaluating\n" * 2


def test_a_print_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(builtins, "print", lines.append)
    assert "print" in declined(Talking())
    assert lines == []


def test_an_event_function_and_a_norm_may_print(capsys: pytest.CaptureFixture[str]) -> None:
    def event(t: Tensor, y: Tensor) -> Tensor:
        print("event")
        return y.min() - 0.5

    def norm(x: Tensor) -> Tensor:
        print("norm")
        return x.abs().max()

    with flashode.use_engine("native"):
        flashode.odeint(lambda t, y: -y, torch.ones(3, 2), HALVES[:2], event_fn=event, options={"norm": norm})
    assert set(capsys.readouterr().out.split()) == {"event", "norm"}
