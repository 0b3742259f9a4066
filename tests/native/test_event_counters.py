"""Counters of the field, which the compiled engine brings up to date at the end, and event functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine
from flashode.engines import EngineDeclined, consider
from flashode.engines.compiled.field import CapturedField
from flashode.engines.compiled.plan import CompiledPlan
from flashode.problem import DISCRETE, make_problem

D = torch.float64
LOG: list[float] = []
T = torch.tensor([0.0, 1.0], dtype=D)
SETTINGS: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-8, "method": "rk4", "options": {"step_size": 0.05}}


class Falling(nn.Module):
    """The usual program: a Module that counts, and whose event is a method of it."""

    def __init__(self) -> None:
        super().__init__()
        self.nfe = 0
        self.floor = 0.5
        self.rate = nn.Parameter(torch.tensor(0.9, dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return -self.rate * y

    def lands(self, t: Tensor, y: Tensor) -> Tensor:
        return y[..., 0].min() - self.floor

    def lands_and_logs(self, t: Tensor, y: Tensor) -> Tensor:
        LOG.append(float(t))
        return y[..., 0].min() - self.floor

    def stops_itself(self, t: Tensor, y: Tensor) -> Tensor:
        return y.sum() * 0 + (30.5 - self.nfe)

    def stops_itself_and_logs(self, t: Tensor, y: Tensor) -> Tensor:
        LOG.append(float(t))
        return y.sum() * 0 + (30.5 - self.nfe)

    def stops_in_a_call(self, t: Tensor, y: Tensor) -> Tensor:
        return self.stops_itself(t, y)

    def stops_by_name(self, t: Tensor, y: Tensor) -> Tensor:
        return y.sum() * 0 + (30.5 - getattr(self, "n" + "fe"))

    @property
    def left(self) -> float:
        return 30.5 - self.nfe

    def stops_by_a_property(self, t: Tensor, y: Tensor) -> Tensor:
        return y.sum() * 0 + self.left

    def starts_again(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe = 0
        return y[..., 0].min() - self.floor

    def steps_along(self, t: Tensor, y: Tensor) -> Tensor:
        return y[..., 0].min() - self.floor + 0 * self(t, y).sum()


def _start() -> Tensor:
    return torch.tensor([[1.0, 0.3], [1.2, 0.1], [0.9, 0.4]], dtype=D)


def _solved(engine: str, name: str, **changed: Any) -> tuple[Tensor, Tensor, int]:
    field = Falling()
    with use_engine(engine):
        t, y = flashode.odeint(field, _start(), T, event_fn=getattr(field, name), **{**SETTINGS, **changed})
    return t, y, field.nfe


@pytest.mark.parametrize("method", ["rk4", "dopri5"])
@pytest.mark.parametrize(
    ("engine", "name"), [("native", "lands"), ("auto", "lands_and_logs"), ("auto", "steps_along")]
)
@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def test_a_method_that_does_not_read_the_counter(engine: str, name: str, method: str) -> None:
    options = {"step_size": 0.05} if method == "rk4" else {}
    native = _solved(engine, name, method=method, options=options)
    eager = _solved("eager", name, method=method, options=options)
    torch.testing.assert_close(native[:2], eager[:2], rtol=1e-7, atol=1e-8)
    assert native[2] == eager[2]


def test_it_stays_captured_while_the_counter_grows() -> None:
    field = Falling()
    programs = []
    for _ in range(12):
        plan = consider(make_problem(field, _start(), T, event_fn=field.lands, **SETTINGS), DISCRETE).plan
        assert isinstance(plan, CompiledPlan)
        assert isinstance(plan.event, CapturedField)
        programs.append(plan.event.capture.program)
        field.nfe += 7
    assert all(program is programs[0] for program in programs)


READING = ["stops_itself", "stops_itself_and_logs", "stops_in_a_call", "stops_by_name", "stops_by_a_property"]


@pytest.mark.parametrize("name", [*READING, "starts_again", "steps_along"])
def test_one_that_reads_or_assigns_it_keeps_the_engine_out(name: str) -> None:
    captured = "reads a number of the same name as one that it counts with"
    called = "shares Falling with it"
    with pytest.raises(EngineDeclined, match=f"its event function ({captured}|{called})"):
        _solved("native", name)


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
@pytest.mark.parametrize("name", READING)
def test_it_is_then_read_as_it_is(name: str) -> None:
    """Four evaluations a step: the thirtieth is in the eighth, and the event's side is told at its end."""
    assert 0.35 <= float(_solved("auto", name)[0]) <= 0.4


class Unseen:
    """Its attributes cannot be known without running its code."""

    def __init__(self, field: Falling) -> None:
        self._field = field

    def __getattribute__(self, name: str) -> Any:
        return object.__getattribute__(self, name)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        return y.sum() * 0 + (30.5 - self._field.nfe)


def test_one_that_cannot_be_looked_into_keeps_the_engine_out() -> None:
    field = Falling()
    with pytest.raises(EngineDeclined, match="its event function may read or change anything: "):
        flashode.odeint(field, _start(), T, event_fn=Unseen(field), **SETTINGS)


class Assigning(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = 3

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.last = 7
        return -y


class Switching(nn.Module):
    """Its events change what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = 1.0
        self.fast = False
        self.calls = 0
        self.register_buffer("rate", torch.ones((), dtype=D))
        self.alias = self.rate

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        rate = self.rate * self.phase * (1 + self.calls)
        return -2 * rate * y if self.fast else -rate * y

    def counts(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        return y.min() - 0.05

    def assigns_a_number(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            self.phase = 2.0
        return y.min() - 0.05

    def assigns_a_choice(self, t: Tensor, y: Tensor) -> Tensor:
        self.fast = bool(y.max() < 0.9)
        return y.min() - 0.05

    def assigns_a_tensor(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            self.rate = torch.tensor(2.0, dtype=D)
        return y.min() - 0.05

    def assigns_by_name(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            setattr(self, "pha" + "se", 2.0)
        return y.min() - 0.05

    def fills_a_tensor(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            self.alias.fill_(2.0)
        return y.min() - 0.05

    def adds_in_place(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            self.alias += 1
        return y.min() - 0.05

    def adds_through_a_local(self, t: Tensor, y: Tensor) -> Tensor:
        rate = self.alias
        if y.max() < 0.9:
            rate += 1
        return y.min() - 0.05

    def writes_an_output(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            torch.add(self.alias, 1, out=self.alias)
        return y.min() - 0.05


class Tabled(Switching):
    def __init__(self) -> None:
        super().__init__()
        self.table = {"rate": 1.0}

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.table["rate"] * y

    def writes_into_a_table(self, t: Tensor, y: Tensor) -> Tensor:
        if y.max() < 0.9:
            self.table["rate"] = 2.0
        return y.min() - 0.05


CHANGING = [
    (kind, name)
    for kind in (Switching, Tabled)
    for name in vars(kind)
    if name.startswith(("counts", "assigns", "fills", "adds", "writes"))
]


@pytest.mark.parametrize(("kind", "name"), CHANGING)
def test_one_that_may_change_what_the_field_reads_keeps_the_engine_out(
    kind: type[Switching], name: str
) -> None:
    field = kind()
    with pytest.raises(
        EngineDeclined, match=f"shares {kind.__name__} with it.*; its event function is not captured: "
    ):
        flashode.odeint(field, _start(), T, event_fn=getattr(field, name), **SETTINGS)


def test_an_assigned_number_is_no_counter() -> None:
    with pytest.raises(EngineDeclined, match="used for more than counting"):
        flashode.odeint(Assigning(), _start(), T)


class Logging:
    """Its event is not captured, and has nothing to do with the field."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.calls = 0

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        self.log.append(float(t))
        return y[..., 0].min() - 0.5


def _logged(field: nn.Module, log: list[Any]) -> Any:
    with use_engine("native"):
        return flashode.odeint(field, _start(), T, event_fn=Logging(log), **SETTINGS)


def test_a_log_is_no_obstacle_however_long() -> None:
    for log in ([], [0.5] * 1000, [torch.zeros(2)] * 1000, [[torch.zeros(2)] * 300] * 10):
        field = Falling()
        before = len(log)
        _logged(field, log)
        assert field.nfe > 0
        assert len(log) > before


class Scaled(nn.Module):
    """Reads a tensor, a number of the file's and a default."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, t: Tensor, y: Tensor, factor: float = 1.0) -> Tensor:
        return -self.scale * factor * (RATE + Scaled.shift) * y

    shift = 0.0


RATE = 1.0


def counts_the_rate(t: Tensor, y: Tensor) -> Tensor:
    global RATE
    RATE += 1
    return y.min() - float(t) * 0 - 0.05


def changes_the_default(t: Tensor, y: Tensor) -> Tensor:
    Scaled.forward.__defaults__ = (1.0 + float(t),)
    return y.min() - 0.05


def changes_the_class(t: Tensor, y: Tensor) -> Tensor:
    Scaled.shift = float(t)
    return y.min() - 0.05


@pytest.mark.parametrize("event", [counts_the_rate, changes_the_default, changes_the_class])
def test_what_is_not_of_the_object_is_shared_too(event: Any) -> None:
    with pytest.raises(EngineDeclined, match=r"its event function shares (RATE|Scaled|__defaults__) with it"):
        flashode.odeint(Scaled(torch.ones((), dtype=D)), _start(), T, event_fn=event, **SETTINGS)


@pytest.mark.parametrize("part", [slice(None), slice(1, None), slice(None, None, -1)])
@pytest.mark.parametrize("inside", [False, True], ids=["by itself", "in a long list"])
def test_memory_is_shared_too(part: slice, inside: bool) -> None:
    numbers = np.ones(4)
    field = Scaled(torch.from_numpy(numbers)[2])
    view = torch.from_numpy(numbers)[1:] if inside else numbers[part]
    event: Any = lambda t, y: y.min() - float(t) * view[0]  # noqa: E731
    with pytest.raises(EngineDeclined, match="its event function shares the memory of a tensor with it"):
        flashode.odeint(field, _start(), T, event_fn=Logging([view] * 300) if inside else event, **SETTINGS)


class Normalised(nn.Module):
    """Counts by a name under which torch's code finds a number of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.eps = 0
        self.norm = nn.LayerNorm(2, eps=1, dtype=D)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.eps += 1
        return self.norm(y)


def test_a_number_of_a_counter_s_name_elsewhere_is_none() -> None:
    field = Normalised()
    flashode.odeint(field, _start(), T)
    field.norm.eps = 2
    solution = flashode.odeint(field, _start(), T)
    with use_engine("eager"):
        wanted = flashode.odeint(field, _start(), T)
    torch.testing.assert_close(solution, wanted)
