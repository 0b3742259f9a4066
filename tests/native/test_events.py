"""Solves until an event, in the compiled engine as in the eager one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import use_engine
from flashode.declined import Declined
from flashode.engines import consider
from flashode.engines.compiled.field import CapturedField
from flashode.engines.compiled.plan import CompiledPlan
from flashode.methods import TABLEAUX
from flashode.problem import DISCRETE, make_problem
from native_methods import NATIVE_METHODS
from problems import Network, Pair, Spiral, values

D = torch.float64
LEVEL = nn.Parameter(torch.tensor(0.2, dtype=D))
LOG: list[float] = []

EventFunction = Callable[[Tensor, Any], Tensor]


def first_component(t: Tensor, y: Tensor) -> Tensor:
    return y[..., 0].min() - LEVEL


def at_a_time(t: Tensor, y: Tensor) -> Tensor:
    return t.abs() - 0.613


def several(t: Tensor, y: Tensor) -> Tensor:
    return torch.stack([y[..., 0].mean() + 5, y[..., 1].mean() - 3, 0.9 - t.abs()])


def of_every_element(t: Tensor, y: Tensor) -> Tensor:
    return y - 0.5 * LEVEL


def logged(t: Tensor, y: Tensor) -> Tensor:
    LOG.append(float(t))
    return y[..., 0].min() - LEVEL


class Threshold(nn.Module):
    """An event function that counts."""

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(0.2, dtype=D))
        self.calls = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.calls += 1
        return y[..., 0].min() - self.level


CAPTURED = [first_component, at_a_time, several, of_every_element]
CALLED = [logged, Threshold()]


def _options(method: str) -> dict[str, Any]:
    """Equal steps, whatever rounding does to errors."""
    if flashode.METHODS[method].control == "error":
        return {"first_step": 0.07, "min_step": 0.07, "max_step": 0.07, "max_num_steps": 1000}
    return {"step_size": 0.07}


def _plan(event_fn: EventFunction, y0: Any, **arguments: Any) -> CompiledPlan:
    t = torch.tensor([0.0, 1.0], dtype=D)
    settings = {"rtol": 1e-6, "atol": 1e-8, "method": None, "options": None, **arguments}
    plan = consider(make_problem(Spiral(), y0, t, event_fn=event_fn, **settings), DISCRETE).plan
    assert isinstance(plan, CompiledPlan)
    return plan


def _start(*batch: int) -> Tensor:
    return torch.tensor([1.0, 0.3], dtype=D) + 0.1 * values(*batch, 2).abs()


def _alike(
    event_fn: EventFunction,
    method: str,
    *,
    direction: float = 1.0,
    adjoint: bool = False,
    batch: tuple[int, ...] = (5,),
    **arguments: Any,
) -> None:
    results = []
    for engine in ("native", "eager"):
        field = Network(features=2, width=3)
        with torch.no_grad():
            field.outer.bias.copy_(torch.tensor([-1.5, 0.2]) * direction)
        y0 = _start(*batch).requires_grad_()
        t0 = torch.tensor(0.1, dtype=D, requires_grad=True)
        with use_engine(engine):
            t, states = flashode.odeint_event(
                field,
                y0,
                t0,
                event_fn=event_fn,
                reverse_time=direction < 0,
                odeint_interface=flashode.odeint_adjoint if adjoint else flashode.odeint,
                method=method,
                options=_options(method),
                rtol=1e-6,
                atol=1e-12,
                **arguments,
            )
            forward = field.nfe
            loss = t.sin() + (states * torch.linspace(-1, 1, states.numel(), dtype=D).view_as(states)).sum()
            gradients = torch.autograd.grad(loss, (y0, t0, *field.parameters(), LEVEL), allow_unused=True)
        results.append((t, states, gradients, (forward, field.nfe)))
    native, eager = results
    # How often Newton's method asks the field is each engine's business.
    assert native[3] == eager[3] or TABLEAUX[method].equations != "none"
    torch.testing.assert_close(native[0], eager[0], rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(native[1], eager[1], rtol=1e-10, atol=1e-11)
    for a, b in zip(native[2], eager[2], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
@pytest.mark.parametrize("event_fn", [first_component, logged], ids=["captured", "called"])
@pytest.mark.parametrize("method", NATIVE_METHODS)
def test_every_method(method: str, event_fn: EventFunction, direction: float) -> None:
    _alike(event_fn, method, direction=direction)


@pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("event_fn", [*CAPTURED, *CALLED], ids=lambda f: getattr(f, "__name__", "module"))
def test_every_event_function(event_fn: EventFunction, method: str, adjoint: bool) -> None:
    extra = {"adjoint_rtol": 1e-9, "adjoint_atol": 1e-11} if adjoint else {}
    _alike(event_fn, method, adjoint=adjoint, **extra)


@pytest.mark.parametrize("batch", [(), (1,), (8,), (2, 5)], ids=str)
def test_batches(batch: tuple[int, ...]) -> None:
    _alike(of_every_element, "dopri5", batch=batch)


def test_cubic_interpolation() -> None:
    for engine in ("native", "eager"):
        with use_engine(engine):
            t, y = flashode.odeint_event(
                Spiral(),
                _start(3),
                torch.tensor(0.0, dtype=D),
                event_fn=first_component,
                method="midpoint",
                options={"step_size": 0.07, "interp": "cubic"},
            )
        if engine == "native":
            event = t, y
    torch.testing.assert_close(event[0], t, rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(event[1], y, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_a_tuple_state(method: str) -> None:
    def event_fn(t: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        y, z = state
        return torch.stack([z.amax() - 0.2, y.sum() + 50, t - 0.8])

    results = []
    for engine in ("native", "eager"):
        field = Pair()
        y0 = (values(5, 3).requires_grad_(), torch.zeros(5, 1, dtype=D).requires_grad_())
        with use_engine(engine):
            t, (y, z) = flashode.odeint_event(
                field,
                y0,
                torch.tensor(0.0, dtype=D),
                event_fn=event_fn,
                method=method,
                options=_options(method),
            )
            gradients = torch.autograd.grad(
                t + y[-1].sum() + z[-1].square().sum(), (*y0, *field.parameters())
            )
        results.append((t, y, z, *gradients))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("event_fn", CAPTURED)
def test_these_are_captured(event_fn: EventFunction) -> None:
    assert isinstance(_plan(event_fn, _start(5)).event, CapturedField)


def test_where_one_is_called_the_plan_says_why() -> None:
    reason = _plan(lambda t, y: y.min() - t.item(), _start(5)).event
    assert isinstance(reason, Declined)
    assert "Python number" in reason.reason
    reason = _plan(Threshold(), _start(5)).event
    assert isinstance(reason, Declined)
    assert "counts its calls" in reason.reason


def test_calls_are_counted() -> None:
    counts = []
    for engine in ("native", "eager"):
        event_fn = Threshold()
        with use_engine(engine):
            flashode.odeint_event(Spiral(), _start(3), torch.tensor(0.0, dtype=D), event_fn=event_fn)
        counts.append(event_fn.calls)
    assert counts[0] == counts[1]


def _level(level: Tensor | float, t: Tensor, y: Tensor) -> Tensor:
    return y[..., 0].min() - level


class Levels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.tensor(0.2, dtype=D))
        self.sign = 1.0

    def event(self, t: Tensor, y: Tensor) -> Tensor:
        return self.sign * (y[..., 0].min() - self.level)


def _event_time(event_fn: EventFunction) -> float:
    t, _ = flashode.odeint_event(Spiral(), _start(3), torch.tensor(0.0, dtype=D), event_fn=event_fn)
    with use_engine("eager"):
        wanted, _ = flashode.odeint_event(Spiral(), _start(3), torch.tensor(0.0, dtype=D), event_fn=event_fn)
    torch.testing.assert_close(t, wanted, rtol=1e-10, atol=1e-11)
    return float(t)


def test_the_capture_follows_the_function() -> None:
    """A closure, a partial's argument, a buffer and an attribute that change between solves."""
    level = torch.tensor(0.2, dtype=D)
    first = _event_time(lambda t, y: y[..., 0].min() - level)
    level.fill_(0.5)
    assert _event_time(lambda t, y: y[..., 0].min() - level) < first
    assert _event_time(partial(_level, 0.5)) < _event_time(partial(_level, 0.2))
    owner = Levels()
    first = _event_time(owner.event)
    owner.level.fill_(0.5)
    assert _event_time(owner.event) < first
    owner.sign = -1.0
    assert _event_time(owner.event) < first


def test_two_event_functions_take_turns() -> None:
    times = [_event_time(f) for f in (first_component, at_a_time, first_component, at_a_time)]
    assert times[0] == times[2]
    assert times[1] == times[3]
    assert times[1] == pytest.approx(0.613, abs=1e-8)


@pytest.mark.parametrize(
    "event_fn", [lambda t, y: y.sum() * 0, lambda t, y: y[0] - y[0]], ids=["sum", "difference"]
)
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_an_event_at_the_start(method: str, event_fn: EventFunction) -> None:
    y0 = _start(3).requires_grad_()
    t0 = torch.tensor(0.3, dtype=D, requires_grad=True)
    t, y = flashode.odeint(
        Spiral(), y0, torch.stack([t0, t0 + 1]), event_fn=event_fn, method=method, options=_options(method)
    )
    assert float(t) == 0.3
    assert torch.equal(y, torch.stack([y0, y0]))
    (gradient,) = torch.autograd.grad(y.sum(), y0)
    assert torch.equal(gradient, torch.full_like(y0, 2.0))


def test_gradcheck_of_the_event_s_time_and_state() -> None:
    """To the accuracy of the solution: the event's time is differentiated through the field's slope there."""

    def solve(y0: Tensor, t0: Tensor) -> Any:
        t, y = flashode.odeint_event(
            Spiral(),
            y0,
            t0,
            event_fn=first_component,
            atol=1e-15,
            method="dopri5",
            options=_options("dopri5"),
        )
        return t, y[1]

    inputs = (_start(2).requires_grad_(), torch.tensor(0.1, dtype=D, requires_grad=True))
    assert torch.autograd.gradcheck(solve, inputs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", NATIVE_METHODS)
def test_gradcheck_of_the_state_at_a_known_time(method: str) -> None:
    def solve(y0: Tensor, t0: Tensor, *_: Tensor) -> Any:
        times = torch.stack([t0, t0 + 1])
        _, y = flashode.odeint(
            field, y0, times, event_fn=at_a_time, method=method, options=_options(method), atol=1e-12
        )
        return y

    field = Network(features=2, width=3)
    inputs = (_start(2).requires_grad_(), torch.tensor(0.1, dtype=D, requires_grad=True), *field.parameters())
    whole = method in ("dopri5", "rk4", "radauIIA5")
    assert torch.autograd.gradcheck(solve, inputs, fast_mode=not whole)


def test_an_error_of_the_event_function_passes_through() -> None:
    calls = [0]

    def event_fn(t: Tensor, y: Tensor) -> Tensor:
        calls[0] += 1
        if calls[0] > 5:
            raise LookupError("no event today")
        return y[..., 0].min() - t

    with pytest.raises(LookupError, match="no event today"):
        flashode.odeint_event(Spiral(), _start(3), torch.tensor(0.0, dtype=D), event_fn=event_fn)


def test_an_event_function_that_is_nan_is_named() -> None:
    def event_fn(t: Tensor, y: Tensor) -> Tensor:
        return torch.sqrt(0.5 - t) + 1

    with pytest.raises(flashode.NonFiniteError, match="event_fn returned NaN at t = ") as caught:
        flashode.odeint_event(Spiral(), _start(3), torch.tensor(0.0, dtype=D), event_fn=event_fn)
    assert caught.value.origin == "event"
    assert caught.value.t is not None
    assert caught.value.t > 0.5


@pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
@pytest.mark.parametrize("method", ["rk4", "implicit_midpoint"])
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_a_last_time_far_beyond_the_event_costs_nothing(solve: Any, method: str, direction: float) -> None:
    """A grid that went there would not fit into memory."""
    results = []
    for far in (1.0, 1e12):
        field = Spiral()
        y0 = _start(3).requires_grad_()
        t = torch.tensor([0.0, direction * far], dtype=D)
        at, y = solve(
            field, y0, t, event_fn=at_a_time, method=method, options={"step_size": 0.07, "interp": "cubic"}
        )
        results.append((at, y, *torch.autograd.grad(y[-1].sin().sum(), (y0, *field.parameters()))))
    for near, distant in zip(*results, strict=True):
        assert torch.equal(near, distant)


def test_an_event_that_never_comes() -> None:
    with pytest.raises(flashode.MaxStepsExceeded):
        flashode.odeint_event(
            Spiral(),
            _start(3),
            torch.tensor(0.0, dtype=D),
            event_fn=lambda t, y: y.square().sum() + 1,
            method="euler",
            options={"step_size": 0.01},
        )
    with pytest.raises(flashode.MaxStepsExceeded):
        flashode.odeint_event(
            Spiral(),
            _start(3),
            torch.tensor(0.0, dtype=D),
            event_fn=lambda t, y: y.square().sum() + 1,
            options={"max_num_steps": 100},
        )
