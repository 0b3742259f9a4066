"""odeint_event: the event's time as a differentiable function, once and in chains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from flashode import odeint, odeint_adjoint, odeint_event
from problems import Spiral

# The time of an event changes along the field, in a step's interpolant only as far as that follows the field.
METHODS = [
    ("dopri5", {"first_step": 0.05}, 1e-6),
    ("dopri8", {"first_step": 0.05, "max_step": 0.05}, 1e-5),
    ("rk4", {"step_size": 0.05, "interp": "cubic"}, 2e-5),
    ("heun3", {"step_size": 0.01}, 1e-2),
]
GRAVITY = 9.8


class Fall(nn.Module):
    """Height and velocity under gravity, which a program may want to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.gravity = nn.Parameter(torch.tensor(GRAVITY, dtype=torch.float64))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        _, velocity = state
        return velocity, -self.gravity * torch.ones_like(velocity)


def height(t: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
    return state[0]


def numbers(*values: float) -> tuple[Tensor, ...]:
    return tuple(torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in values)


def slanted(t: Tensor, y: Tensor) -> Tensor:
    return y[..., 0].sum() - 0.3 + 0.1 * t * t


@pytest.mark.parametrize("reverse", [1, torch.tensor(True), torch.tensor([True])], ids=str)
def test_reverse_time_may_be_a_tensor(engine: str, reverse: Any) -> None:
    y0 = torch.ones(1, dtype=torch.float64)
    times = [
        odeint_event(lambda t, y: -y, y0, 0.0, event_fn=lambda t, y: y - 2, reverse_time=value)[0]
        for value in (reverse, True)
    ]
    assert times[0] < 0
    assert torch.equal(*times)


@pytest.mark.parametrize(
    ("method", "options", "tolerance", "reverse", "interface"),
    [
        *((*method, reverse, odeint) for method in METHODS for reverse in (False, True)),
        *((*METHODS[0], reverse, odeint_adjoint) for reverse in (False, True)),
    ],
)
def test_gradcheck(
    engine: str, method: str, options: dict[str, Any], tolerance: float, reverse: bool, interface: Any
) -> None:
    """In the initial state, the initial time and the field's parameters; of the time and of both states."""

    def event(y0: Tensor, t0: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        field = Spiral()
        del field.linear.weight
        field.linear.weight = weight
        result: tuple[Tensor, Tensor] = odeint_event(
            field,
            y0,
            t0,
            event_fn=slanted,
            reverse_time=reverse,
            odeint_interface=interface,
            method=method,
            options=options,
            rtol=1e-8,
            atol=1e-12,
            **({"adjoint_params": (weight,)} if interface is odeint_adjoint else {}),
        )
        return result

    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64, requires_grad=True)
    t0 = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    weight = Spiral().linear.weight.detach().requires_grad_()
    assert torch.autograd.gradcheck(
        event, (y0, t0, weight), atol=tolerance, rtol=tolerance, eps=1e-5, fast_mode=method != "dopri5"
    )


def test_free_fall(engine: str) -> None:
    """The time of the fall and the velocity at the floor are known, and so are their derivatives."""
    h, v = numbers(7.0, 1.5)
    fall = Fall()
    t0 = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    event_t, (heights, velocities) = odeint_event(fall, (h, v), t0, event_fn=height, atol=1e-10, rtol=1e-10)
    root = (v**2 + 2 * GRAVITY * h).sqrt()
    assert float(event_t.detach()) == pytest.approx(0.5 + float(((v + root) / GRAVITY).detach()), abs=1e-8)
    assert float(velocities[-1].detach()) == pytest.approx(-float(root.detach()), abs=1e-7)
    assert float(heights[-1].detach()) == pytest.approx(0, abs=1e-8)
    inputs = (h, v, t0, fall.gravity)
    gradients = torch.autograd.grad(event_t, inputs, retain_graph=True)
    g = fall.gravity
    expected = torch.autograd.grad((t0 + (v + (v**2 + 2 * g * h).sqrt()) / g).sum(), inputs)
    torch.testing.assert_close(gradients, expected, rtol=1e-7, atol=1e-9)
    gradients = torch.autograd.grad(velocities[-1], inputs, allow_unused=True, materialize_grads=True)
    expected = torch.autograd.grad(
        -(v**2 + 2 * g * h).sqrt().sum(), inputs, allow_unused=True, materialize_grads=True
    )
    torch.testing.assert_close(gradients, expected, rtol=1e-7, atol=1e-8)


def bounces(count: int, solve: Callable[..., Any]) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]:
    """The times of that many bounces, each of which leaves a share of the velocity."""

    def times(h: Tensor, v: Tensor, share: Tensor) -> tuple[Tensor, ...]:
        t = torch.tensor(0.0, dtype=torch.float64)
        results = []
        state = (h, v)
        for _ in range(count):
            t, (heights, velocities) = odeint_event(
                Fall(), state, t, event_fn=height, odeint_interface=solve, atol=1e-12, rtol=1e-10
            )
            results.append(t)
            # A little off the floor, from where it would not be seen to leave.
            state = (heights[-1] + 1e-7, -share * velocities[-1])
        return tuple(results)

    return times


@pytest.mark.parametrize("interface", [odeint, odeint_adjoint])
def test_bouncing_ball(engine: str, interface: Any) -> None:
    """Bounce n comes at sum of the flights before, each shorter by the same share."""
    h, v, share = numbers(3.0, 0.0, 0.8)
    actual = bounces(4, interface)(h, v, share)

    def exact(h: Tensor, v: Tensor, share: Tensor) -> Tensor:
        speed = (v**2 + 2 * GRAVITY * h).sqrt()
        flights = [(v + speed) / GRAVITY] + [2 * speed * share**n / GRAVITY for n in (1, 2, 3)]
        return torch.cat(flights).cumsum(0)

    expected = exact(h, v, share)
    torch.testing.assert_close(torch.stack(actual), expected, rtol=0, atol=1e-6)
    gradients = torch.autograd.grad(actual[-1], (h, v, share))
    torch.testing.assert_close(
        gradients, torch.autograd.grad(expected[-1], (h, v, share)), rtol=1e-6, atol=1e-6
    )


def test_the_first_of_several_events_receives_the_gradient(engine: str) -> None:
    def floor_or_wall(t: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
        height, velocity = state
        return torch.cat([height, velocity + 2.0])

    h, v = numbers(7.0, 1.5)
    # The velocity falls to -2 long before the height to 0.
    event_t, _ = odeint_event(Fall(), (h, v), torch.tensor(0.0), event_fn=floor_or_wall)
    assert float(event_t.detach()) == pytest.approx(3.5 / GRAVITY, abs=1e-7)
    by_height, by_velocity = torch.autograd.grad(event_t, (h, v))
    assert float(by_height) == pytest.approx(0, abs=1e-7)
    assert float(by_velocity) == pytest.approx(1 / GRAVITY, rel=1e-6)


@pytest.mark.needs("event that reads numbers")
def test_parameters_of_the_event_belong_in_the_state(engine: str) -> None:
    """As in torchdiffeq: nothing reaches what the event function closes over, everything what it is given."""
    threshold = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)

    class WithThreshold(nn.Module):
        def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            y, c = state
            return -y, torch.zeros_like(c)

    y0 = torch.ones(1, dtype=torch.float64)
    event_t, _ = odeint_event(
        WithThreshold(), (y0, threshold), torch.tensor(0.0), event_fn=lambda t, s: s[0] - s[1]
    )
    (gradient,) = torch.autograd.grad(event_t, threshold)
    assert float(gradient) == pytest.approx(-1 / 0.3, rel=1e-5)
    start = y0.clone().requires_grad_()
    event_t, _ = odeint_event(
        WithThreshold(), (start, y0), torch.tensor(0.0), event_fn=lambda t, s: s[0] - threshold
    )
    assert torch.autograd.grad(event_t, threshold, allow_unused=True) == (None,)


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
def test_arguments_are_handed_to_the_interface() -> None:
    seen: dict[str, Any] = {}

    def interface(func: Any, y0: Any, t: Tensor, **arguments: Any) -> Any:
        seen.update(arguments, t=t.tolist())
        return odeint(func, y0, t, **arguments)

    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
    solve = partial(interface, rtol=1e-4)
    event_t, _ = odeint_event(
        Spiral(), y0, 2.0, event_fn=slanted, reverse_time=True, odeint_interface=solve, atol=1e-3
    )
    assert event_t.dtype == torch.float64
    assert seen.pop("event_fn") is slanted
    assert seen == {"rtol": 1e-4, "atol": 1e-3, "t": [2.0, 0.0]}


def test_without_gradients_nothing_more_is_evaluated(engine: str) -> None:
    field = Spiral()
    with torch.no_grad():
        y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
        odeint(field, y0, torch.tensor([0.0, 1.0]), event_fn=slanted)
        count = field.nfe
        event_t, solution = odeint_event(field, y0, torch.tensor(0.0), event_fn=slanted)
    assert field.nfe == 2 * count
    assert not (event_t.requires_grad or solution.requires_grad)


def test_batched_gradients(engine: str) -> None:
    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64, requires_grad=True)
    _, solution = odeint_event(Spiral(), y0, torch.tensor(0.2), event_fn=slanted)
    one_by_one = [torch.autograd.grad(solution[1, i], y0, retain_graph=True)[0] for i in range(2)]
    (together,) = torch.autograd.grad(
        solution[1], y0, torch.eye(2, dtype=torch.float64), is_grads_batched=True
    )
    torch.testing.assert_close(together, torch.stack(one_by_one))


# torch's own first use of forward mode.
@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*deprecated:DeprecationWarning")
@pytest.mark.needs("forward mode")
def test_forward_mode(engine: str) -> None:
    """Directional derivatives are those that reverse mode gives."""

    def event(y0: Tensor) -> tuple[Tensor, Tensor]:
        result: tuple[Tensor, Tensor] = odeint_event(Spiral(), y0, torch.tensor(0.2), event_fn=slanted)
        return result

    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
    direction = torch.tensor([0.3, -0.7], dtype=torch.float64)
    with forward_ad.dual_level():
        tangents = [forward_ad.unpack_dual(x).tangent for x in event(forward_ad.make_dual(y0, direction))]
    start = y0.clone().requires_grad_()
    event_t, solution = event(start)
    assert tangents[0] is not None
    (gradient,) = torch.autograd.grad(event_t, start, retain_graph=True)
    torch.testing.assert_close(tangents[0], (gradient * direction).sum().to(event_t.dtype))
    for i in range(2):
        (gradient,) = torch.autograd.grad(solution[1, i], start, retain_graph=True)
        assert tangents[1] is not None
        torch.testing.assert_close(tangents[1][1, i], (gradient * direction).sum())


def test_second_derivatives_are_refused(engine: str) -> None:
    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64, requires_grad=True)
    event_t, _ = odeint_event(Spiral(), y0, torch.tensor(0.2), event_fn=slanted)
    (gradient,) = torch.autograd.grad(event_t, y0, create_graph=True)
    with pytest.raises(
        RuntimeError, match="the time of an event cannot be differentiated twice: Newton steps"
    ):
        torch.autograd.grad(gradient.sum(), y0)


def test_newton_steps_have_derivatives_of_higher_order(engine: str) -> None:
    """What the documentation recommends: the fall's second derivatives are known."""

    def time(h: Tensor, v: Tensor) -> Tensor:
        start = torch.tensor(0.0, dtype=torch.float64)
        event_t, _ = odeint_event(Fall(), (h.detach(), v.detach()), start, event_fn=height)
        t = event_t
        for _ in range(2):
            heights, velocities = odeint(Fall(), (h, v), torch.stack([start, t]))
            t = t - (heights[-1] / velocities[-1]).sum()
        return t

    h, v = numbers(7.0, 1.5)
    assert torch.autograd.gradgradcheck(time, (h, v), atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"t0": torch.zeros(2)}, ValueError, r"t0 must hold one time, got shape \(2,\)"),
        ({"t0": "now"}, TypeError, "t0 must be a 0-d floating-point tensor or a number, got str"),
        ({"t0": torch.tensor(1)}, TypeError, "t must have a floating-point dtype"),
        ({"event_fn": 3}, TypeError, r"event_fn must be a callable of \(t, y\), got int"),
        ({"event_fn": None}, TypeError, r"event_fn must be a callable of \(t, y\), got NoneType"),
        (
            {"odeint_interface": None},
            TypeError,
            "odeint_interface must be a callable like odeint, got NoneType",
        ),
        ({"odeint_interface": "adjoint"}, TypeError, "odeint_interface must be .*, got str"),
        ({"reverse_time": "no"}, TypeError, "reverse_time must be True or False, got 'no'"),
        ({"reverse_time": None}, TypeError, "reverse_time must be True or False, got None"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    keywords = {"t0": torch.tensor(0.0), "event_fn": slanted, **arguments}
    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64)
    with pytest.raises(error, match=message):
        odeint_event(Spiral(), y0, keywords.pop("t0"), **keywords)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("method", "options", "tolerance"), [METHODS[0], METHODS[2]])
def test_the_time_that_the_adjoint_finds_has_a_derivative(
    engine: str, method: str, options: dict[str, Any], tolerance: float, reverse: bool
) -> None:
    """As odeint_event has it; the solution beside it is that at a constant time."""
    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([0.2, -1.0 if reverse else 1.0], dtype=torch.float64, requires_grad=True)
    weight = Spiral().linear.weight.detach().requires_grad_()

    def time(y0: Tensor, t: Tensor, weight: Tensor) -> Tensor:
        field = Spiral()
        del field.linear.weight
        field.linear.weight = weight
        event_t: Tensor = odeint_adjoint(
            field,
            y0,
            t,
            event_fn=slanted,
            method=method,
            options=options,
            rtol=1e-8,
            atol=1e-12,
            adjoint_params=(weight,),
        )[0]
        return event_t

    assert torch.autograd.gradcheck(time, (y0, t, weight), atol=tolerance, rtol=tolerance, eps=1e-5)


def test_the_time_that_the_adjoint_finds_of_a_tuple_state(engine: str) -> None:
    """The free fall's, backwards from the floor's derivative."""
    h, v = numbers(7.0, 1.5)
    fall = Fall()
    event_t, _ = odeint_adjoint(fall, (h, v), torch.tensor([0.5, 1.0]), event_fn=height, rtol=1e-10)
    g = fall.gravity
    expected = torch.autograd.grad(((v + (v**2 + 2 * g * h).sqrt()) / g).sum(), (h, v, g))
    gradients = torch.autograd.grad(event_t, (h, v, g), retain_graph=True)
    torch.testing.assert_close(gradients, expected, rtol=1e-6, atol=1e-8)
    event_t.backward()
    torch.testing.assert_close(g.grad, expected[2], rtol=1e-6, atol=1e-8)


@pytest.mark.needs("event that reads numbers")
def test_an_adjoint_whose_time_is_not_used_evaluates_nothing_more(engine: str) -> None:
    calls = []

    def event(t: Tensor, y: Tensor) -> Tensor:
        calls.append(t.item())
        return slanted(t, y)

    y0 = torch.tensor([1.0, 0.2], dtype=torch.float64, requires_grad=True)
    _, solution = odeint_adjoint(Spiral(), y0, torch.tensor([0.2, 1.2]), event_fn=event)
    searched = len(calls)
    solution[-1].sum().backward()
    assert len(calls) == searched
    _, solution = odeint_event(Spiral(), y0, 0.2, event_fn=event, odeint_interface=odeint_adjoint)
    calls.clear()
    solution[-1].sum().backward()
    assert len(calls) == 1
