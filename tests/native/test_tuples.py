"""Tuple states in the compiled engine: against torchdiffeq, and gradients against the eager engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode
import flashode.capture
from flashode import use_engine
from problems import Counting, Network, Pair, layer, values

D = torch.float64
State = tuple[Tensor, ...]


class Flow(Counting):
    """A continuous normalizing flow: the state, and the log density by the exact trace."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = layer(3, 6), layer(6, 2)

    def forward(self, t: Tensor, state: State) -> State:
        self.nfe += 1
        y = state[0]
        with torch.enable_grad():
            y.requires_grad_()
            rate = self.outer(torch.tanh(self.inner(torch.cat([y, t.expand(len(y), 1)], 1))))
            trace = sum(
                torch.autograd.grad(rate[:, i].sum(), y, create_graph=True)[0][:, i] for i in range(2)
            )
        return rate, -trace  # (batch,) for (batch, 1)


class Oscillator(Counting):
    """A vector and the work done on it, a number: one trajectory."""

    def __init__(self) -> None:
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor([1.0, 0.7, 0.2, 1.4], dtype=D))

    def forward(self, t: Tensor, state: State) -> list[Tensor]:
        self.nfe += 1
        position, work = state
        force = torch.sin(t) - self.stiffness * position
        return [force, (force * force).sum() - 0.1 * work]


class MixedRanks(Counting):
    """Nodes with features, a summary of them, and a scalar for each trajectory."""

    def __init__(self) -> None:
        super().__init__()
        self.node, self.summary = layer(2, 2), layer(2, 4)

    def forward(self, t: Tensor, state: State) -> State:
        self.nfe += 1
        nodes, summary, scalar = state
        first, second = torch.tanh(self.node(nodes)).unbind(-1)
        rate = self.summary(nodes.mean(1)) - summary
        return torch.stack([second, -first], -1), rate * torch.cos(t), -scalar * summary[:, 0]


class Scales(Counting):
    """Components of very different size and stiffness: their errors count separately."""

    def forward(self, t: Tensor, state: State) -> State:
        self.nfe += 1
        large, small = state
        return torch.cos(3 * t) * large, -5 * small + torch.sin(5 * t)


class Constant(Counting):
    """A rate that depends on nothing, and a component that is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.drift = nn.Parameter(torch.tensor([0.3, -0.2], dtype=D))

    def forward(self, t: Tensor, state: State) -> State:
        self.nfe += 1
        y, empty, mean = state
        return self.drift.expand(y.shape), empty, y.mean(-1, keepdim=True) - mean


Case = tuple[Callable[[], Counting], State]
CASES: dict[str, Case] = {
    "pair": (Pair, (values(5, 3), values(5, 1, seed=1))),
    "flow": (Flow, (values(5, 2), torch.zeros(5, 1, dtype=D))),
    "one trajectory": (Oscillator, (values(4), values(seed=1))),
    "mixed ranks": (MixedRanks, (values(9, 3, 2), values(9, 4, seed=1), values(9, seed=2))),
    "scales": (Scales, (values(4, 3, scale=100.0), values(4, 2, seed=1, scale=0.01))),
    "a tuple of one": (lambda: Single(Network()), (values(5, 3),)),
    "batch of one": (Pair, (values(1, 3), values(1, 1, seed=1))),
}


class Single(Counting):
    """A field that takes a tuple of one."""

    def __init__(self, field: Network) -> None:
        super().__init__()
        self.field = field

    def forward(self, t: Tensor, state: State) -> State:
        self.nfe += 1
        return (self.field(t, state[0]),)


_T = torch.tensor([0.1, 0.4, 0.45, 1.3], dtype=D)
# torchdiffeq does not take the empty component.
OURS: dict[str, Case] = {
    "empty component": (Constant, (values(4, 2), torch.zeros(4, 0, dtype=D), values(4, 1, seed=1))),
}


@pytest.mark.parametrize("t", [_T, _T.flip(0)], ids=["increasing", "decreasing"])
@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_evaluations_are_torchdiffeq_s(name: str, method: str, t: Tensor) -> None:
    make, y0 = CASES[name]
    ours, theirs = make(), make()
    arguments: dict[str, Any] = {"method": method, "rtol": 1e-6, "atol": 1e-7}
    solution = flashode.odeint(ours, y0, t, **arguments)
    expected = torchdiffeq.odeint(theirs, y0, t, **arguments)
    assert isinstance(solution, tuple)
    for x, y in zip(solution, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)
    assert ours.nfe == theirs.nfe > 0


# An entry of a weight that the flow's trace picks out counts in the joint norm beside the weight.
GRADIENTS = [
    (name, method, mode)
    for name in (*CASES, *OURS)
    for method in ("dopri5", "midpoint")
    for mode in ("discrete", "joint", "seminorm")
    if (name, method, mode) != ("flow", "dopri5", "joint")
]


@pytest.mark.parametrize(("name", "method", "mode"), GRADIENTS)
def test_gradients_are_the_eager_engine_s(name: str, method: str, mode: str) -> None:
    make, state = (CASES | OURS)[name]
    options = {"first_step": 0.05} if method == "dopri5" else {"step_size": 0.11}
    arguments: dict[str, Any] = {"method": method, "rtol": 1e-6, "atol": 1e-7, "options": options}
    if mode == "seminorm":
        arguments["adjoint_options"] = {**options, "norm": "seminorm"}
    solve = flashode.odeint if mode == "discrete" else flashode.odeint_adjoint
    results = []
    for engine in ("native", "eager"):
        field = make()
        y0 = tuple(part.clone().requires_grad_() for part in state)
        t = _T.clone().requires_grad_()
        with use_engine(engine):
            solution = solve(field, y0, t, **arguments)
            loss = sum(
                (part * torch.cos(torch.arange(part.numel()).view_as(part))).sum() for part in solution
            )
            gradients = torch.autograd.grad(loss, (*y0, t, *field.parameters()))
        results.append((gradients, field.nfe))
    (native, evaluations), (eager, expected) = results
    for x, y in zip(native, eager, strict=True):
        torch.testing.assert_close(
            x, y, rtol=1e-10, atol=1e-10 * max(1.0, float(y.abs().max()) if y.numel() else 0.0)
        )
    assert evaluations == expected


def test_gradients_of_gradients() -> None:
    field = Pair()

    def solve(y: Tensor, z: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, (y, z), t, method="rk4")

    inputs = (values(2, 3), values(2, 1, seed=1), torch.tensor([0.0, 0.3], dtype=D))
    leaves = tuple(x.requires_grad_() for x in inputs)
    assert torch.autograd.gradgradcheck(solve, (*leaves, *field.parameters()))


def test_a_new_batch_size_needs_no_trace() -> None:
    field = Flow()
    for size in (4, 9, 2, 30):
        y0 = (values(size, 2), torch.zeros(size, 1, dtype=D))
        solution = flashode.odeint(field, y0, _T, method="rk4")
        with use_engine("eager"):
            expected = flashode.odeint(field, y0, _T, method="rk4")
        for x, y in zip(solution, expected, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)
    assert sum(1 for _ in flashode.capture._cache.all_entries()) == 1


def test_trajectories_stay_apart() -> None:
    """A permuted batch gives the permuted solution, with components that hold different things."""
    field = MixedRanks()
    y0 = CASES["mixed ranks"][1]
    order = torch.tensor([3, 1, 8, 0, 7, 6, 2, 5, 4])
    solution = flashode.odeint(field, tuple(part[order] for part in y0), _T, method="rk4")
    expected = flashode.odeint(field, y0, _T, method="rk4")
    for x, y in zip(solution, expected, strict=True):
        assert torch.equal(x, y[:, order])


def test_a_field_that_mixes_trajectories_is_one_trajectory() -> None:
    def field(t: Tensor, state: State) -> State:
        y, z = state
        return y - y.mean(0), z * y.sum()

    y0 = (values(4, 2), values(4, 1, seed=1, scale=0.1))
    solution = flashode.odeint(field, y0, _T, method="rk4")
    with use_engine("eager"):
        expected = flashode.odeint(field, y0, _T, method="rk4")
    for x, y in zip(solution, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=1e-12)


def test_what_is_not_finite_is_named_with_its_component_and_trajectory() -> None:
    def field(t: Tensor, state: State) -> State:
        y, z = state
        return torch.ones_like(y), -torch.sqrt(z) * 0 - 1

    y0 = (values(3, 2), torch.tensor([[2.0], [0.7], [3.0]], dtype=D))
    where = r"func returned .* in component 1 of the state \(trajectory \(1,\)\)"
    with pytest.raises(flashode.NonFiniteError, match=where) as caught:
        flashode.odeint(field, y0, torch.linspace(0, 1, 11, dtype=D))
    assert caught.value.trajectory == (1,)
    assert caught.value.t == pytest.approx(0.7, abs=1e-6)
    assert isinstance(caught.value.partial, tuple)
    assert [part.shape[1:] for part in caught.value.partial] == [(3, 2), (3, 1)]


def _roots(t: Tensor, state: State) -> State:
    return tuple(torch.sqrt(part) * 0 - 1 for part in state)


def _mixed_roots(t: Tensor, state: State) -> State:
    total = sum(part.sum() for part in state)
    return tuple(torch.sqrt(part) * 0 - 1 + 0 * total for part in state)


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("field", [_roots, _mixed_roots])
@pytest.mark.parametrize(
    "bad",
    [
        [(2, (8, 0, 1))],
        [(2, (3, 1, 0)), (2, (3, 0, 1)), (2, (4, 0, 0))],
        [(1, (5,)), (2, (0, 0, 0))],
        [(0, (10, 1)), (1, (2,))],
    ],
)
def test_the_first_that_is_not_finite_is_the_eager_engine_s(
    bad: list[tuple[int, tuple[int, ...]]], field: Callable[..., Any], method: str
) -> None:
    y0 = (torch.ones(11, 2, dtype=D), torch.ones(11, dtype=D), torch.ones(11, 2, 2, dtype=D))
    for component, index in bad:
        y0[component][index] = 0.3
    errors = []
    for engine in ("native", "eager"):
        with use_engine(engine), pytest.raises(flashode.NonFiniteError) as caught:
            flashode.odeint(field, y0, torch.linspace(0, 1, 4, dtype=D), method=method)
        errors.append(caught.value)
    native, eager = errors
    assert native.trajectory == eager.trajectory
    assert native.origin == eager.origin
    assert f" in component {bad[0][0]} of the state" in str(native)
    assert native.t == pytest.approx(eager.t)


def test_a_function_of_a_tuple_is_told_from_one_of_a_tensor() -> None:
    """The same function and the same shape."""

    def field(t: Tensor, state: Any) -> Any:
        return -state if isinstance(state, Tensor) else (2 * state[0],)

    y0 = values(3, 2)
    (pair,) = flashode.odeint(field, (y0,), _T, method="rk4")
    single = flashode.odeint(field, y0, _T, method="rk4")
    assert float(pair[-1, 0, 0] / y0[0, 0]) > 1 > float(single[-1, 0, 0] / y0[0, 0])
