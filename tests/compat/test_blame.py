"""What a failure is put down to: the field, a tensor of its own, the state's size, or the loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from flashode import ConvergenceWarning, NonFiniteError, odeint, odeint_adjoint, odeint_event

T = torch.linspace(0, 1, 5)
Y0 = torch.ones(2, 3)
SCALE = torch.tensor([1.0, math.nan, 1.0])  # read as a global


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.register_buffer("shift", torch.zeros(3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.first(y) + self.second(y) + self.shift

    def other(self, t: Tensor, y: Tensor) -> Tensor:
        return self(t, y)


def spoiled(name: str, value: float = math.nan) -> Two:
    """A field with one bad number in the tensor of that name."""
    field = Two()
    with torch.no_grad():
        dict([*field.named_parameters(), *field.named_buffers()])[name].view(-1)[1] = value
    return field


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
@pytest.mark.parametrize("method", ["dopri5", "rk4", "gl4"])
@pytest.mark.parametrize("solve", [odeint, odeint_adjoint])
@pytest.mark.parametrize(
    ("name", "kind"), [("first.weight", "parameter"), ("second.bias", "parameter"), ("shift", "buffer")]
)
def test_a_bad_tensor_of_the_field_is_named(
    name: str, kind: str, solve: Callable[..., Any], method: str, engine: str
) -> None:
    for value in (math.nan, math.inf):
        with pytest.raises(NonFiniteError, match=rf"^func .*; its {kind} '{name}' is not finite") as caught:
            solve(spoiled(name, value), Y0, T, method=method)
        assert caught.value.origin == "field"


def test_so_are_what_functions_read(engine: str) -> None:
    bad, net = SCALE.clone(), spoiled("first.bias")
    cases: dict[str, Callable[..., Any]] = {
        "the variable 'bad'": lambda t, y: bad * y,
        "the variable 'SCALE'": lambda t, y: SCALE * y,
        "its parameter 'net.first.bias'": lambda t, y: net(t, y),
        "its parameter 'first.bias'": net.other,
        "its parameter 'second.bias'": partial(spoiled("second.bias")),
    }
    for words, func in cases.items():
        with pytest.raises(NonFiniteError, match=rf"^func returned .*; {words} is not finite itself$"):
            odeint(func, Y0, T)
    with pytest.raises(NonFiniteError, match=r"^func returned .* state was finite$"):
        odeint(lambda t, y: y / (y - 1), Y0, T)


@pytest.mark.filterwarnings("ignore::flashode.ConvergenceWarning")
@pytest.mark.parametrize("rate", [-1, 1])
@pytest.mark.parametrize("method", ["dopri5", "dopri8", "bosh3", "rk4", "gl4", "trbdf2"])
def test_a_state_that_overflows_is_not_the_function_s_fault(method: str, rate: int, engine: str) -> None:
    """Sums of slopes overflow before the state does, in each engine its own."""
    for dtype in (torch.float32, torch.float64):
        size = 0.9 * torch.finfo(dtype).max
        try:
            odeint(lambda t, y: rate * y, torch.full((2, 3), size, dtype=dtype), T, method=method)
        except NonFiniteError as error:
            failure: NonFiniteError | None = error
        else:
            failure = None
        assert failure is None or (
            str(failure).startswith(f"the state overflows {dtype} near t = ") and failure.origin == "state"
        )
        assert failure is not None or rate < 0


@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "rk4", "gl4"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_gradient_that_came_in(bad: float, method: str, backwards: bool, engine: str) -> None:
    y0, times = Y0.clone().requires_grad_(), T.flip(0) if backwards else T
    y = odeint_adjoint(Two(), y0, times, method=method, rtol=1e-4, atol=1e-4)
    gradient = torch.zeros_like(y)
    gradient[3, 1, 2] = bad
    gradient[4, 0, 0] = 1.0
    words = (
        rf"^the gradient in output 3 \(t = {times[3]}\) that came into .* is not finite \(trajectory \(1,\)\)"
    )
    with pytest.raises(NonFiniteError, match=words) as caught:
        y.backward(gradient)
    assert caught.value.origin == "gradient"
    assert caught.value.t == times[3]
    assert caught.value.statistics is not None


def test_one_of_a_tuple_and_one_at_an_event(engine: str) -> None:
    first, second = (torch.ones(2, 3, requires_grad=True) for _ in range(2))
    _, y = odeint_adjoint(lambda t, y: (-y[0], -y[1]), (first, second), T, adjoint_params=())
    gradient = torch.zeros_like(y)
    gradient[1, 1] = math.nan
    words = r"in output 1 \(t = 0.25\) .* not finite in component 1 of the state \(trajectory \(1,\)\)"
    with pytest.raises(NonFiniteError, match=words):
        y.backward(gradient)
    field = Two()
    _, y = odeint_event(
        field, Y0, torch.tensor(0.0), event_fn=lambda t, y: t - 0.5, odeint_interface=odeint_adjoint
    )
    with pytest.raises(NonFiniteError, match=r"in output 1 \(t = 0\.(5|49999\d*)\)"):
        (y[-1] * math.nan).sum().backward()


@pytest.mark.parametrize("method", ["implicit_euler", "trapezoid", "gl6"])
def test_steps_of_a_whole_output_interval(method: str, engine: str) -> None:
    """Of a solve that says nothing of its steps."""

    def field(t: Tensor, y: Tensor) -> Tensor:
        return -30 * (y**3 - torch.cos(t))

    words = r"without step_size each output interval is one step: smaller ones \(options={'step_size': "
    with pytest.warns(ConvergenceWarning, match=words):
        odeint(field, Y0, T, method=method, options={"max_iters": 1})
    with pytest.warns(ConvergenceWarning, match=r"may be wrong: smaller steps"):
        odeint(field, Y0, T, method=method, options={"max_iters": 1, "step_size": 0.2})
