"""`flashode.record`: what it counts, when, and how it is shown."""

from __future__ import annotations

import re
from threading import Thread
from typing import Any

import pytest
import torch
from torch import nn

import flashode
from flashode.engines import watchers
from flashode.engines.protocol import Plan
from flashode.recording import watching
from flashode.recording.report import HEADINGS

TIMES = torch.linspace(0.0, 1.0, 3, dtype=torch.float64)


class Field(nn.Module):
    """A small network that counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, dtype=torch.float64)
        self.nfe = 0

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.nfe += 1
        return torch.tanh(self.layer(y))


def decay(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return -y


def bursting(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return y * y


def start(batch: int = 8) -> torch.Tensor:
    return torch.ones(batch, 2, dtype=torch.float64)


def only(report: flashode.Report) -> flashode.Solves:
    (solves,) = report.solves
    return solves


def test_counts_are_those_of_the_field(engine: str) -> None:
    field = Field()
    with flashode.record() as report:
        for _ in range(3):
            flashode.odeint(field, start(), TIMES)
    entry = only(report)
    assert (entry.field, entry.mode, entry.method, entry.engine) == ("Field", "odeint", "dopri5", engine)
    assert entry.reason is None
    assert (entry.calls, entry.evaluations) == (3, field.nfe)
    assert entry.seconds > 0
    assert (entry.backward_evaluations, entry.backward_seconds) == (None, None)


def test_evaluations_of_a_differentiated_solve(engine: str) -> None:
    field = Field()
    with flashode.record() as report:
        states = flashode.odeint(field, start(), TIMES)
    assert only(report).evaluations == field.nfe
    states.sum().backward()
    # Autograd goes back through the eager engine's operations where no clock of ours is.
    assert (only(report).backward_seconds is None) == (engine == "eager")
    assert only(report).calls == 1


@pytest.mark.parametrize("with_time", [False, True])
def test_the_adjoint_s_reverse_solve_counts(engine: str, with_time: bool) -> None:
    field = Field()
    with flashode.record() as report:
        states = flashode.odeint_adjoint(field, start(), TIMES.clone().requires_grad_(with_time))
    forward = field.nfe
    states.sum().backward()
    entry = only(report)
    assert entry.mode == "odeint_adjoint"
    assert (entry.calls, entry.evaluations) == (1, forward)
    assert entry.backward_evaluations == field.nfe - forward
    assert entry.backward_seconds is not None
    assert entry.total_seconds == entry.seconds + entry.backward_seconds


@pytest.mark.usefixtures("compiled")
def test_a_second_derivative_belongs_to_the_reverse_pass() -> None:
    y0 = start().requires_grad_()
    with flashode.record() as report, flashode.use_engine("native"):
        states = flashode.odeint(bursting, 0.5 * y0, TIMES)
        (first,) = torch.autograd.grad(states.sum(), y0, create_graph=True)
        first.sum().backward()
    entry = only(report)
    assert (entry.calls, entry.backward_evaluations) == (1, None)
    assert entry.backward_seconds is not None


def test_modes() -> None:
    height = torch.tensor([1.0, 0.0], dtype=torch.float64)

    def fall(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([y[1], -torch.ones_like(y[1])])

    with flashode.record() as report, flashode.use_engine("eager"):
        flashode.odeint_event(fall, height, TIMES[0], event_fn=lambda t, y: y[0])
        flashode.odeint_dense(decay, start(), TIMES[0], TIMES[-1])
    assert {(entry.field.rpartition(".")[2], entry.mode) for entry in report.solves} == {
        ("fall", "odeint, event"),
        ("decay", "odeint_dense"),
    }


@pytest.mark.usefixtures("compiled")
def test_event_functions_that_are_called_are_marked() -> None:
    def below(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return y.sum() - 0.5 if float(y.sum()) > 0 else y.sum()

    def captured(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return y.sum() - 0.5

    with flashode.record() as report:
        for event in (below, captured):
            flashode.odeint_event(decay, start(), TIMES[0], event_fn=event)
    assert {entry.mode for entry in report.solves} == {"odeint, event", "odeint, event (called)"}
    assert {entry.engine for entry in report.solves} == {"native"}
    (note,) = report.notes()
    assert "below, an event function, is called from Python because it turns a tensor into" in note
    assert "odeint, event (called)" in str(report)
    assert note in str(report)


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def test_one_reason_for_all_batch_sizes() -> None:
    def branching(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -y if y.sum() > 0 else y

    with flashode.record() as report:
        for batch in (3, 4, 50):
            flashode.odeint(branching, start(batch), TIMES, method="rk4")
    entry = only(report)
    assert (entry.engine, entry.calls) == ("eager", 3)
    assert entry.reason is not None
    assert report.notes() == [f"{entry.field} runs in the eager engine because {entry.reason}."]


def test_a_failed_solve_is_a_call(engine: str) -> None:
    with flashode.record() as report, pytest.raises(flashode.SolverError) as failed:
        flashode.odeint(bursting, start(), 3 * TIMES)
    assert failed.value.statistics is not None
    assert only(report).calls == 1
    assert only(report).evaluations == failed.value.statistics.evaluations > 0


def test_a_failed_differentiated_solve_is_a_call(engine: str) -> None:
    with flashode.record() as report, pytest.raises(flashode.SolverError) as failed:
        flashode.odeint(bursting, start().requires_grad_(), 3 * TIMES)
    assert failed.value.statistics is not None
    assert only(report).calls == 1
    assert only(report).evaluations == failed.value.statistics.evaluations > 0


def test_a_failed_reverse_solve_counts_in_it(engine: str) -> None:
    y0 = torch.full((8, 2), 1e3, dtype=torch.float64).requires_grad_()
    options = {"max_num_steps": 2}
    with flashode.record() as report:
        states = flashode.odeint_adjoint(
            decay, y0, TIMES, rtol=1.0, adjoint_params=(), adjoint_rtol=1e-12, adjoint_options=options
        )
        with pytest.raises(flashode.SolverError) as failed:
            states.sum().backward()
    assert failed.value.statistics is not None
    assert only(report).backward_evaluations == failed.value.statistics.evaluations > 0


def test_longest_first() -> None:
    with flashode.record() as report, flashode.use_engine("eager"):
        flashode.odeint(decay, start(), TIMES[:2], method="euler")
        flashode.odeint(bursting, start(), TIMES[:2], method="euler", options={"step_size": 1e-3})
    assert [entry.field for entry in report.solves] == ["bursting", "decay"]


def test_all_threads_and_only_the_block() -> None:
    def solve() -> Any:
        return flashode.odeint(decay, start(), TIMES)

    solve()
    with flashode.record() as report:
        threads = [Thread(target=solve) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    solve()
    assert only(report).calls == 3


def test_blocks_nest_and_leave_nothing() -> None:
    with flashode.record() as outer:
        with flashode.record() as inner:
            flashode.odeint(decay, start(), TIMES)
        flashode.odeint(decay, start(), TIMES)
    assert (only(inner).calls, only(outer).calls) == (1, 2)
    assert watchers == []


@pytest.mark.usefixtures("compiled")
def test_a_watcher_sees_the_plans_of_a_block() -> None:
    chosen: list[Plan] = []

    def note(problem: object, gradient: object, choice: object, plan: Plan) -> Plan:
        chosen.append(plan)
        return plan

    with watching(note):
        with flashode.record() as report:
            flashode.odeint(decay, start(), TIMES)
        with flashode.use_engine("eager"):
            flashode.odeint(decay, start(), TIMES)
    flashode.odeint(decay, start(), TIMES)
    assert [plan.engine for plan in chosen] == ["native", "eager"]
    assert [plan.statistics.evaluations for plan in chosen if plan.statistics] == [
        only(report).evaluations
    ] * 2
    assert watchers == []


def test_asking_is_not_solving() -> None:
    with flashode.record() as report:
        flashode.explain(decay, start())
    assert report.solves == []


def test_as_text() -> None:
    with flashode.record() as report, flashode.use_engine("eager"):
        assert str(report) == "no solves"
        flashode.odeint(decay, start(), TIMES, method="euler")
    heading, row = str(report).splitlines()
    assert tuple(re.split(r"  +", heading)) == HEADINGS
    assert row.split()[:7] == ["decay", "odeint", "euler", "eager", "1", "2", "–"]
    assert repr(report) == str(report)
