"""The same search for an event gives torchdiffeq's time, states, gradients and number of evaluations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from compat.cases import ADAPTIVE, SHARED, State, parts, values
from problems import Counting, Network, Pair, Scalar, Spiral

MULTISTEP = ("explicit_adams", "implicit_adams")


@dataclass(frozen=True)
class Search:
    """One search for an event.

    Attributes:
        make: Makes the field.
        y0: Initial state.
        event: The event function.
        t: The start, and a time that tells the direction.
        fixed: Options of fixed-step methods.
        atol: Absolute tolerance, which the event is found to as well.
    """

    make: Callable[[], Counting]
    y0: State
    event: Callable[[Tensor, Any], Tensor]
    t: tuple[float, float] = (0.2, 1.2)
    fixed: dict[str, Any] = field(default_factory=lambda: {"step_size": 0.07})
    atol: float = 1e-7

    def arguments(self, method: str) -> dict[str, Any]:
        """Keyword arguments of the call."""
        options = {"first_step": 0.05} if method in ADAPTIVE else self.fixed
        return {
            "method": method,
            "rtol": 1e-4 if method in ("adaptive_heun", "fehlberg2") else 1e-6,
            "atol": self.atol,
            "options": dict(options),
        }


def crossing(t: Tensor, y: Tensor) -> Tensor:
    return y[..., 0].sum() - 0.4


def three(t: Tensor, y: Tensor) -> Tensor:
    """Only the second is reached: the first too late, the third never."""
    return torch.stack([y[..., 1].sum() - 1.35, y[..., 0].sum() - 0.3 + 0.1 * t, y[..., 1].sum() + 9])


def joint(t: Tensor, state: tuple[Tensor, Tensor]) -> Tensor:
    y, z = state
    return y.sum() + 0.2 * z.mean() + 0.3 * t - 0.9


SPIRAL = torch.tensor([1.0, 0.2], dtype=torch.float64)
SEARCHES: dict[str, Search] = {
    "tensor": Search(Spiral, SPIRAL, crossing),
    "batch": Search(Network, values(4, 3), lambda t, y: y.sum() + 0.3 * t - 0.9),
    "0-d": Search(Scalar, values(), lambda t, y: y - 1.05 + 0.2 * t),
    "several outputs": Search(Spiral, SPIRAL, three),
    "tuple": Search(Pair, (values(4, 3), values(4, 1)), joint),
    "decreasing": Search(Spiral, SPIRAL, crossing, (0.2, -0.8)),
    "decreasing tuple": Search(
        Pair, (values(4, 3), values(4, 1)), lambda t, state: state[0].sum() - 0.9 * t - 1.2, (1.2, 0.1)
    ),
    "decreasing, several outputs": Search(Spiral, SPIRAL, three, (0.2, -0.8)),
    "time only": Search(Spiral, SPIRAL, lambda t, y: 1.37 - t),
}
CUBIC = Search(Spiral, SPIRAL, crossing, fixed={"step_size": 0.23, "interp": "cubic"})
PERTURBED = Search(Spiral, SPIRAL, crossing, fixed={"step_size": 0.11, "perturb": True})
COARSE = Search(Spiral, SPIRAL, crossing, atol=1e-3)
SEARCHES |= {"cubic": CUBIC, "perturb": PERTURBED, "coarse": COARSE}

# Every method on a few searches; a few methods, which are those of torchdiffeq's loops, on all of them.
FEW = [(n, m) for n in SEARCHES for m in ("dopri5", "rk4", "implicit_adams")]
PAIRS = FEW + [(n, m) for n in ("tensor", "decreasing tuple", "cubic", "perturb") for m in SHARED + MULTISTEP]
# The options are those of fixed-step methods; the steps are too long for the iteration of an implicit one.
NOT_FOR = {"cubic": (*ADAPTIVE, "implicit_adams", "fixed_adams"), "perturb": ADAPTIVE}
FEW, PAIRS = (
    [(n, m) for n, m in dict.fromkeys(pairs) if m not in NOT_FOR.get(n, ())] for pairs in (FEW, PAIRS)
)


@dataclass(frozen=True)
class Found:
    """What a search gives.

    Attributes:
        t: The event's time.
        states: The components of the solution.
        counts: Evaluations of the forward solve and of both.
        gradients: In the initial state, the time or times given, and the parameters.
    """

    t: Tensor
    states: tuple[Tensor, ...]
    counts: tuple[int, int]
    gradients: tuple[Tensor, ...] = ()


Solve = Callable[[Any, Any, Tensor, Callable[..., Any], dict[str, Any]], Any]


def search(name: str, method: str, solve: Solve, *, with_time: bool = True) -> Found:
    """Search by one function of a library, and differentiate what it gives."""
    case = SEARCHES[name]
    func = case.make()
    y0 = tuple(part.clone().requires_grad_() for part in parts(case.y0))
    t = torch.tensor(case.t, dtype=torch.float64, requires_grad=with_time)
    event_t, solution = solve(
        func, y0 if isinstance(case.y0, tuple) else y0[0], t, case.event, case.arguments(method)
    )
    forward = func.nfe
    weights = [torch.cos(torch.arange(part.numel()).reshape(part.shape)) for part in parts(solution)]
    loss = sum((part * w).sum() for part, w in zip(parts(solution), weights, strict=True))
    if event_t.requires_grad:
        loss = loss + 1.7 * event_t
    inputs = [*y0, *((t,) if with_time else ()), *func.parameters()]
    gradients = torch.autograd.grad(loss, inputs)
    return Found(
        event_t.detach(),
        tuple(part.detach() for part in parts(solution)),
        (forward, func.nfe),
        gradients,
    )


def through(library: Any, mode: str) -> Solve:
    """odeint or odeint_adjoint of a library, and not the event's time: torchdiffeq's has no derivative."""

    def solve(func: Any, y0: Any, t: Tensor, event: Any, arguments: dict[str, Any]) -> Any:
        event_t, solution = getattr(library, mode)(func, y0, t, event_fn=event, **arguments)
        return event_t.detach(), solution

    return solve


def through_time(library: Any, interface: Any) -> Solve:
    """odeint_event of a library."""

    def solve(func: Any, y0: Any, t: Tensor, event: Any, arguments: dict[str, Any]) -> Any:
        reverse = bool(t[1] < t[0])
        return library.odeint_event(
            func, y0, t[0], event_fn=event, reverse_time=reverse, odeint_interface=interface, **arguments
        )

    return solve


@cache
def reference(name: str, method: str, mode: str) -> Found:
    """What torchdiffeq gives; the same for every engine."""
    if mode.startswith("event by "):
        interface = getattr(torchdiffeq, mode.removeprefix("event by "))
        return search(name, method, through_time(torchdiffeq, interface))
    return search(name, method, through(torchdiffeq, mode))


def check(actual: Found, expected: Found, tolerance: float) -> None:
    assert actual.t.shape == ()
    assert actual.t.dtype == expected.t.dtype
    torch.testing.assert_close(actual.t, expected.t, rtol=0, atol=tolerance)
    for x, y in zip(actual.states, expected.states, strict=True):
        assert x.dtype == y.dtype
        torch.testing.assert_close(x, y, rtol=0, atol=tolerance)
    for x, y in zip(actual.gradients, expected.gradients, strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=10 * tolerance * max(1.0, float(y.abs().max())))
    assert actual.counts == expected.counts


def tolerance_of(name: str, method: str) -> float:
    """Fixed-step methods repeat torchdiffeq's arithmetic, and so its bisection, to the last bits; the steps
    of adaptive ones follow rounding errors in the error estimate."""
    return 1e-11 if method not in ADAPTIVE else 10 * SEARCHES[name].atol


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_odeint(engine: str, name: str, method: str) -> None:
    answer = search(name, method, through(flashode, "odeint"))
    check(answer, reference(name, method, "odeint"), tolerance_of(name, method))


@pytest.mark.parametrize(("name", "method"), FEW)
def test_odeint_adjoint(engine: str, name: str, method: str) -> None:
    answer = search(name, method, through(flashode, "odeint_adjoint"))
    check(answer, reference(name, method, "odeint_adjoint"), tolerance_of(name, method))


@pytest.mark.parametrize("mode", ["odeint", "odeint_adjoint"])
@pytest.mark.parametrize(("name", "method"), FEW)
def test_odeint_event(engine: str, name: str, method: str, mode: str) -> None:
    answer = search(name, method, through_time(flashode, getattr(flashode, mode)))
    check(answer, reference(name, method, f"event by {mode}"), tolerance_of(name, method))


@pytest.mark.parametrize("mode", ["odeint", "odeint_adjoint"])
def test_odeint_event_over_interfaces_of_torchdiffeq(mode: str) -> None:
    interface = partial(getattr(torchdiffeq, mode))
    answer = search("tuple", "dopri5", through_time(flashode, interface))
    check(answer, reference("tuple", "dopri5", f"event by {mode}"), 1e-12)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("mode", ["odeint", "odeint_adjoint"])
def test_times_without_gradient(engine: str, mode: str, method: str) -> None:
    answer = search("batch", method, through(flashode, mode), with_time=False)
    expected = search("batch", method, through(torchdiffeq, mode), with_time=False)
    check(answer, expected, tolerance_of("batch", method))


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
def test_single_precision(engine: str, method: str) -> None:
    """States and times in float32; events are as close as float32 can tell."""
    results = []
    for library in (torchdiffeq, flashode):
        func = Spiral(dtype=torch.float32)
        event_t, solution = library.odeint(
            func,
            SPIRAL.float(),
            torch.tensor([0.0, 1.0]),
            event_fn=crossing,
            method=method,
            rtol=1e-4,
            atol=1e-5,
            options={"first_step": 0.05} if method == "dopri5" else {"step_size": 0.0625},
        )
        assert event_t.dtype == solution.dtype == torch.float32
        results.append((event_t.detach(), solution.detach(), func.nfe))
    (their_t, theirs, their_count), (our_t, ours, our_count) = results
    torch.testing.assert_close(our_t, their_t, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert our_count == their_count


class Watched(Spiral):
    """Notes where its steps start."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: list[float] = []

    def callback_accept_step(self, t: Tensor, y: Tensor, dt: Tensor) -> None:
        self.starts.append(float(t))


def test_callbacks_see_the_steps_to_an_event() -> None:
    seen: list[list[float]] = []
    for library in (torchdiffeq, flashode):
        func = Watched()
        with torch.no_grad(), flashode.use_engine("eager"):
            library.odeint(func, SPIRAL, torch.tensor([0.2, -0.8]), event_fn=crossing)
        seen.append(func.starts)
    assert seen[0] == pytest.approx(seen[1], abs=1e-6)


@pytest.mark.parametrize("count", [1, 3])
def test_both_refuse_other_numbers_of_times(count: int) -> None:
    for library in (torchdiffeq, flashode):
        with pytest.raises(ValueError, match="t"):
            library.odeint(Spiral(), SPIRAL, torch.arange(1.0, count + 1), event_fn=crossing)


def test_an_event_at_the_start_of_an_adaptive_solve_returns_at_once() -> None:
    """A function that is zero at the start, as after a bounce that nothing moved away from the floor."""
    results = []
    for library in (torchdiffeq, flashode):
        func = Spiral()
        with flashode.use_engine("eager"):
            event_t, solution = library.odeint(
                func, SPIRAL, torch.tensor([0.2, 1.2]), event_fn=lambda t, y: y[..., 0] - 1
            )
        results.append((float(event_t), solution.tolist(), func.nfe))
    assert results[0] == results[1]
