"""Event functions without a derivative, by themselves and beside others that have one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flashode import explain, odeint, odeint_adjoint, odeint_event
from flashode.problem.event import as_numbers

RATE = 0.8
START = 0.3
# Method, its options, whether backwards in time, whether of a tuple state, and by which interface.
SEARCHES = [
    ("dopri5", {}, False, False, odeint),
    ("dopri5", {}, True, True, odeint),
    ("dopri5", {}, False, True, odeint_adjoint),
    ("dopri5", {}, True, False, odeint_adjoint),
    ("rk4", {"step_size": 0.05, "interp": "cubic"}, False, False, odeint_adjoint),
    ("trbdf2", {"step_size": 0.02, "interp": "cubic"}, True, True, odeint),
]


class Decay(nn.Module):
    """y' = -rate y, also beside another component."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(RATE, dtype=torch.float64))

    def forward(self, t: Tensor, y: Any) -> Any:
        return (-self.rate * y[0], -0.5 * y[1]) if isinstance(y, tuple) else -self.rate * y


def first(y: Any) -> Tensor:
    return y[0] if isinstance(y, tuple) else y


# Each changes where the first element is a half, from above or from below, and has no derivative there.
CONDITIONS: dict[str, Callable[[Tensor, Any], Tensor]] = {
    "greater": lambda t, y: first(y)[0] > 0.5,
    "less": lambda t, y: first(y)[0] < 0.5,
    "vector": lambda t, y: first(y) > 0.5,
    "all": lambda t, y: (first(y) > 0.5).all(),
    "not all": lambda t, y: ~(first(y) > 0.5).all(),
    "and": lambda t, y: (first(y)[0] > 0.5) & (t < 50),
    "int": lambda t, y: (first(y)[0] > 0.5).int() * 2 - 1,
    "int64": lambda t, y: torch.where(first(y)[0] > 0.5, 3, -2),
    "int8": lambda t, y: (first(y) > 0.5).to(torch.int8) * 2 - 1,
    "detached": lambda t, y: first(y).detach()[0] - 0.5,
    "item": lambda t, y: torch.tensor(first(y)[0].item() - 0.5),
    "numpy": lambda t, y: torch.from_numpy(first(y).detach().numpy() - 0.5),
    "half": lambda t, y: (first(y)[0] - 0.5).detach().half(),
    "sign": lambda t, y: torch.sign(first(y)[0] - 0.5),
    "beside what grows": lambda t, y: torch.stack([0.1 + t * t, 2.0 * (first(y)[0] > 0.5) - 1]),
    "beside what falls": lambda t, y: torch.stack([first(y)[1] + 0.4, 2.0 * (first(y)[0] > 0.5) - 1]),
    "beside what rises": lambda t, y: torch.stack([first(y)[1] - 5, 2.0 * (first(y)[0] > 0.5) - 1]),
}


def search(condition: Callable[..., Tensor], *, tuple_state: bool, **arguments: Any) -> tuple[Tensor, ...]:
    """The event's time, and gradients of it and of the sum of the end in y0, in the start and in the rate."""
    field = Decay()
    size = 0.25 if arguments.get("reverse_time") else 1.0
    y0 = torch.full((2,), size, dtype=torch.float64, requires_grad=True)
    t0 = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    state = (y0, torch.ones(1, dtype=torch.float64)) if tuple_state else y0
    event_t, solution = odeint_event(field, state, t0, event_fn=condition, atol=1e-9, rtol=1e-8, **arguments)
    inputs = (y0, t0, field.rate)
    of_time = torch.autograd.grad(
        event_t, inputs, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    of_end = torch.autograd.grad(first(solution)[-1].sum(), inputs)
    return event_t.detach(), *of_time, *of_end


@pytest.mark.needs("event that reads numbers")
@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
@pytest.mark.parametrize(("method", "options", "reverse", "tuple_state", "interface"), SEARCHES)
@pytest.mark.parametrize("name", CONDITIONS)
def test_the_time_is_a_constant(
    engine: str,
    name: str,
    method: str,
    options: dict[str, Any],
    reverse: bool,
    tuple_state: bool,
    interface: Any,
) -> None:
    """y = y0 exp(-rate (t - t0)) is a half at a known time, and moves with y0, t0 and rate at that time."""
    event_t, *of_time, by_y0, by_t0, by_rate = search(
        CONDITIONS[name],
        tuple_state=tuple_state,
        reverse_time=reverse,
        odeint_interface=interface,
        method=method,
        options=dict(options),
    )
    duration = math.log(2) / RATE * (-1 if reverse else 1)
    # A half is rounded to three digits.
    assert float(event_t) == pytest.approx(START + duration, abs=2e-3 if name == "half" else 2e-5)
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in of_time)
    growth = 2.0 if reverse else 0.5
    tolerance = {"rel": 2e-3 if name == "half" else 1e-4}
    assert by_y0.tolist() == pytest.approx([growth, growth], **tolerance)
    assert float(by_t0) == pytest.approx(RATE, **tolerance)
    assert float(by_rate) == pytest.approx(-duration, **tolerance)


@pytest.mark.needs("event that reads numbers")
@pytest.mark.parametrize("interface", [odeint, odeint_adjoint])
def test_an_output_with_a_derivative_beside_a_condition(engine: str, interface: Any) -> None:
    """It crosses first, and the time moves with it: t = t0 + ln(2 y0) / rate."""

    def outputs(t: Tensor, y: Tensor) -> Tensor:
        return torch.stack([2.0 * (y[1] > 0.1) - 1, y[0] - 0.5])

    event_t, by_y0, by_t0, by_rate, *_ = search(outputs, tuple_state=False, odeint_interface=interface)
    assert float(event_t) == pytest.approx(START + math.log(2) / RATE, abs=1e-7)
    assert by_y0.tolist() == pytest.approx([1 / RATE, 0], abs=1e-6)
    assert float(by_t0) == pytest.approx(1, abs=1e-6)
    assert float(by_rate) == pytest.approx(-math.log(2) / RATE**2, abs=1e-6)


@pytest.mark.parametrize("condition", [lambda t, y: y[0] < 0.5, lambda t, y: (y[0] < 0.5) & (t > -1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_condition_that_does_not_hold_yet(
    engine: str, condition: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    """It is no event at the start."""
    t = torch.tensor([0.0, 1.0])
    event_t, _ = odeint(Decay().to(dtype), torch.ones(2, dtype=dtype), t, event_fn=condition)
    assert float(event_t.detach()) == pytest.approx(math.log(2) / RATE, abs=1e-5)


@pytest.mark.parametrize("name", ["greater", "less", "vector", "all", "not all", "and", "int64"])
def test_conditions_are_captured(compiled: None, name: str) -> None:
    y0 = torch.ones(2, dtype=torch.float64)
    told = str(explain(Decay(), y0, event_fn=CONDITIONS[name]))
    assert ", captured" in told


def test_numbers_of_outputs() -> None:
    assert as_numbers(torch.tensor([True, False]), torch.float64).tolist() == [1.0, -1.0]
    assert as_numbers(torch.tensor([3, 0, -2]), torch.float32).tolist() == [3.0, 0.0, -2.0]
    assert as_numbers(torch.tensor([3.5]).half(), torch.float32).dtype == torch.float16
