"""Functions that write on what they get, and give the same memory again: a solve has tensors of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
import torch
import torchdiffeq
from torch import Tensor

import flashode
from compat.cases import ADAPTIVE, FIXED
from flashode import METHODS, odeint, odeint_adjoint, odeint_dense, odeint_event

D = torch.float64
T = torch.tensor([0.0, 0.4, 1.0], dtype=D)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Functional iteration did not converge", "ignore::flashode.ConvergenceWarning"
)


@pytest.fixture(autouse=True)
def eagerly() -> Iterator[None]:
    with flashode.use_engine("eager"):
        yield


def start() -> Tensor:
    return torch.tensor([1.0, 0.25], dtype=D)


class Rate:
    """y' = a A y + sin t, in one of many careless ways; each of them returns the same numbers."""

    def __init__(self, a: Tensor | float, y0: Tensor) -> None:
        self.a, self.y0 = a, y0
        self.buffer = torch.zeros(2, dtype=D)
        self.earlier: list[Tensor] = []

    def pure(self, t: Tensor, y: Tensor) -> Tensor:
        return self.a * torch.stack([y[1], -y[0]]) + torch.sin(t)

    def one_buffer(self, t: Tensor, y: Tensor) -> Tensor:
        self.buffer = self.buffer.detach()
        self.buffer.copy_(self.pure(t, y))
        return self.buffer

    def view_of_a_buffer(self, t: Tensor, y: Tensor) -> Tensor:
        return self.one_buffer(t, y).view(2)

    def out(self, t: Tensor, y: Tensor) -> Tensor:
        self.buffer = self.buffer.detach()
        rate = self.pure(t, y)
        # Autograd has no out=.
        return self.buffer.copy_(rate) if rate.requires_grad else torch.add(rate, 0, out=self.buffer)

    def start_as_buffer(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            self.y0.copy_(self.pure(t, y))
        return self.pure(t, y)

    def writes_on_the_state(self, t: Tensor, y: Tensor) -> Tensor:
        rate = self.pure(t, y)
        y.mul_(3).add_(1)
        return rate

    def returns_the_state(self, t: Tensor, y: Tensor) -> Tensor:
        return y.copy_(self.pure(t, y.clone()))

    def writes_on_an_earlier_state(self, t: Tensor, y: Tensor) -> Tensor:
        rate = self.pure(t, y)
        for earlier in self.earlier:
            earlier.data.zero_()
        self.earlier = [y]
        return rate

    def writes_on_time(self, t: Tensor, y: Tensor) -> Tensor:
        rate = self.pure(t, y)
        t.data.add_(1)
        return rate

    def wants_gradients(self, t: Tensor, y: Tensor) -> Tensor:
        t.requires_grad_()
        y.requires_grad_()
        return self.pure(t, y)


CARELESS = [name for name in vars(Rate) if not name.startswith("_") and name != "pure"]
FOLLOWED = [name for name in CARELESS if name != "writes_on_time"]
# One of each way of taking steps.
EACH = ("dopri5", "adaptive_heun", "rk4", "explicit_adams", "implicit_adams", "trapezoid", "gl4")
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cubic": {"interp": "cubic"},
    "perturb": {"perturb": True},
    "jump": {"jump_t": torch.tensor([0.3], dtype=D)},
}


def method_arguments(method: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """Arguments of the method with these options, or None where it has none of them."""
    chosen = METHODS[method]
    if method == "scipy_solver":
        return None if options else {"method": method, "rtol": 1e-6, "atol": 1e-8}
    if chosen.control == "error":
        if not options.keys() <= {"jump_t"}:
            return None
        return {"method": method, "rtol": 1e-3, "atol": 1e-3, "options": options}
    if "jump_t" in options:
        return None
    return {"method": method, "options": {"step_size": 0.15, **options}}


def same(actual: Tensor, right: Tensor) -> None:
    """Nothing but rounding between them: implicit methods go on once more from slopes on a graph."""
    torch.testing.assert_close(actual.detach(), right.detach(), rtol=1e-13, atol=1e-13)


def solve(name: str, t: Tensor, arguments: dict[str, Any]) -> Tensor:
    """The solution, after a look at what the caller holds."""
    y0, times = start(), t.clone()
    rate = Rate(0.7, y0)
    solution = odeint(getattr(rate, name), y0, times, **arguments)
    assert torch.equal(times, t) and not times.requires_grad
    assert not y0.requires_grad
    if name != "start_as_buffer":
        assert torch.equal(y0, start())
    same(solution[0], start())
    return solution


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_solution(method: str, options: str) -> None:
    arguments = method_arguments(method, OPTIONS[options])
    if arguments is None:
        return
    for t in (T, -T):
        jumps = {"jump_t": t[:1] + 0.3 * torch.sign(t[-1])} if options == "jump" else {}
        arguments["options"] = {**arguments.get("options", {}), **jumps}
        right = solve("pure", t, arguments)
        for name in CARELESS:
            same(solve(name, t, arguments), right)


@pytest.mark.parametrize("method", [*ADAPTIVE, *FIXED, "scipy_solver"])
def test_memory_of_numpy(method: str) -> None:
    rate, array = Rate(0.7, start()), numpy.zeros(2)

    def field(t: Tensor, y: Tensor) -> Tensor:
        array[:] = rate.pure(t, y).numpy()
        return torch.from_numpy(array)

    arguments = method_arguments(method, {}) or {}
    same(odeint(field, start(), T, **arguments), solve("pure", T, arguments))


SHARING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "the state": lambda t, y: y,
    "a view of the state": lambda t, y: y.T.T,
    "an expanded tensor": lambda t, y: torch.cos(t).expand(y.shape),
    "a transposed state": lambda t, y: y.T,
}


@pytest.mark.parametrize("name", SHARING)
@pytest.mark.parametrize("method", METHODS)
def test_results_that_share_memory(method: str, name: str) -> None:
    y0 = torch.tensor([[1.0, 0.5], [-0.2, 0.3]], dtype=D)
    arguments = method_arguments(method, {}) or {}
    solution = odeint(SHARING[name], y0, T, **arguments)
    right = odeint(lambda t, y: SHARING[name](t, y) + torch.zeros_like(y), y0, T, **arguments)
    same(solution, right)
    same(solution[0], y0)


@pytest.mark.parametrize("method", METHODS)
def test_tuples(method: str) -> None:
    buffer = torch.zeros(2, dtype=D)

    def careless(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        u, v = state
        buffer.copy_(torch.stack([v[0], -u[0]]).squeeze())
        u.requires_grad_()
        v.zero_()
        return buffer[:1], buffer[1:]

    def pure(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return state[1], -state[0]

    arguments = method_arguments(method, {}) or {}
    y0 = (torch.ones(1, dtype=D), torch.zeros(1, dtype=D))
    solution = odeint(careless, y0, T, **arguments)
    for part, right in zip(solution, odeint(pure, y0, T, **arguments), strict=True):
        same(part, right)
    assert not any(part.requires_grad for part in y0)
    assert float(y0[0]) == 1 and float(y0[1]) == 0


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.parametrize("solver", [odeint, odeint_adjoint])
@pytest.mark.parametrize("method", EACH)
def test_gradients(method: str, solver: Any, name: str) -> None:
    def gradients(name: str) -> tuple[Tensor, ...]:
        a, t = torch.tensor(0.7, dtype=D, requires_grad=True), T.clone().requires_grad_()
        y0 = start().requires_grad_()
        more = {"adjoint_params": (a,)} if solver is odeint_adjoint else {}
        rate = Rate(a, start())
        states = solver(getattr(rate, name), y0, t, **method_arguments(method, {}), **more)
        before = states.detach().clone()
        grads = torch.autograd.grad(states[1:].square().sum(), (a, y0, t))
        assert torch.equal(states, before)
        return grads

    for grads, right in zip(gradients(name), gradients("pure"), strict=True):
        torch.testing.assert_close(grads, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CARELESS)
@pytest.mark.parametrize("method", EACH)
def test_dense_output(method: str, name: str) -> None:
    times = torch.linspace(0, 1, 7, dtype=D)
    arguments = method_arguments(method, {})
    y0 = start()
    solution = odeint_dense(getattr(Rate(0.7, y0), name), y0, 0.0, 1.0, **arguments)(times)
    same(solution, odeint_dense(Rate(0.7, y0).pure, start(), 0.0, 1.0, **arguments)(times))


@pytest.mark.parametrize("name", CARELESS)
@pytest.mark.parametrize("method", EACH)
def test_events(method: str, name: str) -> None:
    """The event function is as careless as the field."""

    def event_of(name: str) -> tuple[Tensor, Tensor]:
        y0, t0 = start(), torch.zeros((), dtype=D)

        def event(t: Tensor, y: Tensor) -> Tensor:
            left = y[0].detach() - 0.5
            if name != "pure":
                y.requires_grad_()
                y.data.zero_()
                t.data.add_(1)
            return left

        t, solution = odeint_event(
            getattr(Rate(1.0, y0), name), y0, t0, event_fn=event, **method_arguments(method, {})
        )
        assert not y0.requires_grad and float(t0) == 0 and not t0.requires_grad
        assert name == "start_as_buffer" or torch.equal(y0, start())
        return t, solution

    for one, right in zip(event_of(name), event_of("pure"), strict=True):
        same(one, right)


class Followed(torch.nn.Module):
    """A field with a callback that writes on the state, as torchdiffeq lets it."""

    def __init__(self, kind: str) -> None:
        super().__init__()

        def halve(t: Tensor, y: Tensor, dt: Tensor) -> None:
            y.requires_grad_().data.mul_(0.5)

        setattr(self, kind, halve)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.cos(t) - y


@pytest.mark.parametrize(
    ("kind", "method"),
    [("callback_step", method) for method in (*ADAPTIVE, *FIXED)]
    + [("callback_accept_step", method) for method in ADAPTIVE],
)
def test_callbacks_that_write(method: str, kind: str) -> None:
    """What a callback leaves is what the solve goes on with; what the caller holds stays."""
    y0 = start()
    arguments = dict(method_arguments(method, {}) or {})
    if METHODS[method].control == "error":
        arguments["options"] = {"first_step": 0.2, "min_step": 0.2, "max_step": 0.2}
    solution = odeint(Followed(kind), y0, T, **arguments)
    assert torch.equal(y0, start()) and not y0.requires_grad
    assert torch.equal(solution[0], start())
    same(solution, torchdiffeq.odeint(Followed(kind), start(), T, **arguments))


def test_grid_constructors_that_write() -> None:
    y0, t = start(), T.clone()

    def constructor(field: Callable[[Tensor, Tensor], Tensor], y: Tensor, times: Tensor) -> Tensor:
        grid = torch.cat([times[:1], times[:1] + 0.2, times[1:]])
        field(times[0], y)
        y.requires_grad_().data.zero_()
        times.requires_grad_().data.zero_()
        return grid

    options = {"grid_constructor": constructor}
    solution = odeint(Rate(0.7, y0).writes_on_the_state, y0, t, method="rk4", options=options).detach()
    assert torch.equal(y0, start()) and torch.equal(t, T)
    assert not y0.requires_grad and not t.requires_grad
    grid = torch.tensor([0.0, 0.2, 0.4, 1.0], dtype=D)
    assert torch.equal(solution, odeint(Rate(0.7, y0).pure, y0, grid, method="rk4")[[0, 2, 3]])


def test_norms_that_write() -> None:
    def norm(x: Tensor) -> Tensor:
        size = x.detach().abs().max()
        x.data.zero_()
        return size

    arguments = {"rtol": 1e-5, "atol": 1e-5}
    solution = odeint(Rate(0.7, start()).pure, start(), T, options={"norm": norm}, **arguments)
    right = odeint(
        Rate(0.7, start()).pure, start(), T, options={"norm": lambda x: x.abs().max()}, **arguments
    )
    assert torch.equal(solution, right)


@pytest.mark.parametrize("name", ["pure", "one_buffer", "writes_on_the_state", "returns_the_state"])
def test_gradients_of_event_times(name: str) -> None:
    """On the way back the field is asked once more, before the event function is, at the same state."""

    def gradients_of(name: str) -> tuple[Tensor, ...]:
        a = torch.tensor(1.0, dtype=D, requires_grad=True)
        y0 = start().requires_grad_()
        t, solution = odeint_event(
            getattr(Rate(a, start()), name),
            y0,
            0.0,
            event_fn=lambda t, y: y[0] ** 3 - 0.125 + 0 * y[1],
            method="dopri5",
        )
        before = solution.detach().clone()
        gradients = torch.autograd.grad(t + solution[-1].sum(), (a, y0))
        assert torch.equal(solution, before)
        return gradients

    for one, right in zip(gradients_of(name), gradients_of("pure"), strict=True):
        torch.testing.assert_close(one, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("method", ["heun3", "rk4", "dopri5", "dopri8", "implicit_adams", "trbdf2"])
@pytest.mark.parametrize("with_times", [False, True])
def test_writing_on_the_time_leaves_gradients_as_they_are(method: str, with_times: bool) -> None:
    def pure(t: Tensor, y: Tensor) -> Tensor:
        return -y * (2 * t)

    def writing(t: Tensor, y: Tensor) -> Tensor:
        # Autograd saves the time as it is now, and another stage's is written on before the reverse pass.
        return -y * t.mul_(2)

    gradients = []
    for field in (pure, writing):
        y0, t = start().requires_grad_(), T.clone().requires_grad_(with_times)
        odeint(field, y0, t, method=method)[-1].sum().backward()
        gradients.append((y0.grad, t.grad))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-14, atol=1e-14)
