"""What `explain` says of a solve that ends at an event."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode import explain, use_engine

Y0 = torch.linspace(-1, 1, 40).view(20, 2)


def field(t: Tensor, y: Tensor) -> Tensor:
    return -y


def crossing(t: Tensor, y: Tensor) -> Tensor:
    return y[0, 0] + 0.5


def branching(t: Tensor, y: Tensor) -> Tensor:
    return y[0, 0] + 0.5 if float(t) >= 0 else y[0, 0]


def test_no_event() -> None:
    explanation = explain(field, Y0)
    assert (explanation.event, explanation.event_called) == (None, None)
    assert "event " not in str(explanation)


def test_a_captured_event_function() -> None:
    explanation = explain(field, Y0, event_fn=crossing)
    assert (explanation.engine, explanation.event, explanation.event_called) == ("native", "crossing", None)
    assert "event       crossing, captured" in str(explanation).splitlines()


@pytest.mark.parametrize("adjoint", [False, True])
def test_one_that_is_called_shows_the_line(adjoint: bool) -> None:
    asked: dict[str, Any] = {"adjoint_params": ()} if adjoint else {}
    explanation = explain(field, Y0, event_fn=branching, **asked)
    assert (explanation.engine, dict(explanation.declined), explanation.event) == ("native", {}, "branching")
    assert explanation.event_called is not None
    assert explanation.event_called.startswith("it turns a tensor into a Python number")
    lines = [line.strip() for line in str(explanation).splitlines()]
    at = lines.index("return y[0, 0] + 0.5 if float(t) >= 0 else y[0, 0]")
    assert lines[at - 1].endswith(f"test_events.py:{branching.__code__.co_firstlineno + 1}")
    assert any(line.startswith("event       branching is called from Python at each step") for line in lines)


def test_in_the_eager_engine_everything_is_called() -> None:
    with use_engine("eager"):
        explanation = explain(field, Y0, event_fn=branching)
    assert (explanation.engine, explanation.event, explanation.event_called) == ("eager", "branching", None)
    assert "event       branching" in str(explanation).splitlines()


def test_a_fixed_step_method_needs_a_step_size_as_in_a_solve() -> None:
    asked: dict[str, Any] = {"event_fn": crossing, "method": "rk4"}
    assert explain(field, Y0, **asked, options={"step_size": 0.1}).engine == "native"
    with pytest.raises(ValueError, match="event_fn needs options"):
        explain(field, Y0, **asked)


@pytest.mark.parametrize(
    "t", [None, 1, 1e9, torch.tensor(0.5), torch.tensor([0.5]), torch.tensor([1.0, 0.0])], ids=str
)
def test_times(t: Any) -> None:
    assert explain(field, Y0, t, event_fn=crossing).engine == "native"


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="t must hold two times"):
        explain(field, Y0, torch.linspace(0, 1, 3), event_fn=crossing)
    with pytest.raises(TypeError, match="event_fn must be a callable"):
        explain(field, Y0, event_fn=3)  # type: ignore[arg-type]


def test_it_is_what_a_solve_does() -> None:
    calls = 0

    def called(t: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += float(y[0, 0]) < 9
        return y[0, 0] + 0.5

    assert explain(field, Y0, event_fn=called).event_called is not None
    before = calls
    t = torch.tensor([0.0, 1.0])
    with use_engine("native"):
        flashode.odeint(field, Y0, t, event_fn=called)
    assert calls > before + 3


def test_scipy_gives_no_gradients() -> None:
    explanation = explain(field, Y0, method="scipy_solver")
    assert explanation.gradients == "no gradients"
    assert "solve       scipy_solver, no gradients" in str(explanation).splitlines()
    asked: dict[str, Any] = {"method": "scipy_solver", "adjoint_params": ()}
    assert explain(field, Y0, **asked).gradients == "continuous adjoint"
