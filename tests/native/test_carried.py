"""Fields that own tensors with a slice for each trajectory, in the compiled engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchdiffeq
from torch import Tensor, nn

import flashode
import flashode.capture
from capture.agreement import captured_at
from flashode import use_engine
from flashode.capture import Capture
from problems import Counting, layer, parts, values

D = torch.float64
T = torch.tensor([0.1, 0.4, 0.45, 1.3], dtype=D)
BATCH = 5


class Hutchinson(Counting):
    """A normalizing flow with a fixed probe of the Jacobian's trace."""

    e: Tensor

    def __init__(self, batch: int = BATCH) -> None:
        super().__init__()
        self.net = nn.Sequential(layer(2, 7), nn.Tanh(), layer(7, 2))
        self.register_buffer("e", values(batch, 2, seed=5).sign())

    def forward(self, t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self.nfe += 1
        with torch.enable_grad():
            y = state[0].requires_grad_()
            rate = self.net(y) * torch.cos(t)
            (product,) = torch.autograd.grad(rate, y, self.e, create_graph=True)
        return rate, -(product * self.e).sum(1, keepdim=True)


class Conditioned(Counting):
    """A network that sees a condition beside the state; the condition may be a parameter."""

    def __init__(self, condition: Tensor) -> None:
        super().__init__()
        self.c = condition
        self.inner, self.outer = layer(5, 8), layer(8, 2)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.outer(torch.tanh(self.inner(torch.cat([y, self.c], 1)))) - 0.1 * t * y


class Forced(Counting):
    """Each trajectory has a stiffness of its own, and some are held."""

    def __init__(self) -> None:
        super().__init__()
        self.stiffness = nn.Parameter(values(BATCH, seed=3).abs())
        self.held = torch.tensor([True, False, False, True, False])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        position, speed = y.unbind(1)
        force = torch.sin(t) - self.stiffness * position
        return torch.where(self.held[:, None], 0.0, torch.stack([speed, force], 1))


def _flow_state(size: int = BATCH) -> tuple[Tensor, ...]:
    return values(size, 2), torch.zeros(size, 1, dtype=D)


class Drift(Counting):
    """Nothing but a rate for each trajectory."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(values(BATCH, 2, seed=3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.rate


FIELDS: dict[str, tuple[Callable[[], Counting], Any]] = {
    "hutchinson": (Hutchinson, _flow_state()),
    "condition": (lambda: Conditioned(values(BATCH, 3, seed=2)), values(BATCH, 2)),
    "parameter": (lambda: Conditioned(nn.Parameter(values(BATCH, 3, seed=2))), values(BATCH, 2)),
    "strided": (lambda: Conditioned(values(3, BATCH, seed=2).T), values(BATCH, 2)),
    "single": (lambda: Conditioned(values(BATCH, 3, seed=2).float()), values(BATCH, 2)),
    "forced": (Forced, values(BATCH, 2)),
    "drift": (Drift, values(BATCH, 2)),
}


@pytest.mark.parametrize("method", ["dopri5", "rk4"])
@pytest.mark.parametrize("name", FIELDS)
def test_values_and_evaluations_are_torchdiffeq_s(name: str, method: str) -> None:
    make, y0 = FIELDS[name]
    ours, theirs = make(), make()
    for t in (T, T.flip(0)):
        arguments: dict[str, Any] = {"method": method, "rtol": 1e-6, "atol": 1e-7}
        solution = flashode.odeint(ours, y0, t, **arguments)
        expected = torchdiffeq.odeint(theirs, y0, t, **arguments)
        for x, y in zip(parts(solution), parts(expected), strict=True):
            torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)
    assert ours.nfe == theirs.nfe > 0


@pytest.mark.parametrize("name", FIELDS)
def test_the_batch_is_no_single_trajectory(name: str) -> None:
    make, y0 = FIELDS[name]
    captured = captured_at(make(), T[0], y0)
    assert isinstance(captured, Capture)
    assert captured.batched
    assert captured.program.widths[1] == sum(part[0].numel() for part in parts(y0))
    assert captured.program.widths[2] == sum(tensor[0].numel() for tensor in captured.carried)


@pytest.mark.parametrize("mode", ["discrete", "joint", "seminorm"])
@pytest.mark.parametrize("method", ["dopri5", "midpoint"])
@pytest.mark.parametrize("name", FIELDS)
def test_gradients_are_the_eager_engine_s(name: str, method: str, mode: str) -> None:
    make, state = FIELDS[name]
    options = {"first_step": 0.05} if method == "dopri5" else {"step_size": 0.11}
    arguments: dict[str, Any] = {"method": method, "rtol": 1e-6, "atol": 1e-7, "options": options}
    if mode == "seminorm":
        arguments["adjoint_options"] = {**options, "norm": "seminorm"}
    solve = flashode.odeint if mode == "discrete" else flashode.odeint_adjoint
    results = []
    for engine in ("native", "eager"):
        field = make()
        leaves = [part.clone().requires_grad_() for part in parts(state)]
        t = T.clone().requires_grad_()
        with use_engine(engine):
            y0 = leaves[0] if isinstance(state, Tensor) else tuple(leaves)
            solution = solve(field, y0, t, **arguments)
            loss = sum(
                (part * torch.cos(torch.arange(part.numel()).view_as(part))).sum() for part in parts(solution)
            )
            gradients = torch.autograd.grad(loss, (*leaves, t, *field.parameters()))
        results.append((gradients, field.nfe))
    (native, evaluations), (eager, expected) = results
    for x, y in zip(native, eager, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-10 * max(1.0, float(y.abs().max())))
    assert evaluations == expected


def test_gradients_reach_a_tensor_of_the_closure() -> None:
    """In its own dtype, through what it was computed from."""
    net, encoder = layer(5, 2), nn.Linear(4, 3)
    results = []
    for engine in ("native", "eager"):
        context = encoder(values(BATCH, 4, seed=1).float())

        def field(t: Tensor, y: Tensor) -> Tensor:
            return torch.tanh(net(torch.cat([y, context], 1)))  # noqa: B023

        with use_engine(engine):
            states = flashode.odeint(field, values(BATCH, 2), T, method="rk4")
            results.append(torch.autograd.grad(states.square().sum(), encoder.parameters()))
    for native, eager in zip(*results, strict=True):
        assert native.dtype == torch.float32
        torch.testing.assert_close(native, eager, rtol=1e-5, atol=1e-5)


def test_gradients_of_gradients() -> None:
    condition = values(2, 3, seed=2).requires_grad_()
    field = Conditioned(condition)

    def solve(y: Tensor, t: Tensor, *_: Tensor) -> Any:
        return flashode.odeint(field, y, t, method="rk4")

    inputs = (values(2, 2).requires_grad_(), T[:2].clone().requires_grad_(), condition)
    assert torch.autograd.gradgradcheck(solve, inputs)


def test_a_new_probe_needs_no_trace() -> None:
    field, state = Hutchinson(), _flow_state()
    for seed in range(4):
        field.e = values(BATCH, 2, seed=seed).sign()
        solution = flashode.odeint(field, state, T, method="rk4")
        with use_engine("eager"):
            expected = flashode.odeint(field, state, T, method="rk4")
        torch.testing.assert_close(solution[1], expected[1], rtol=1e-12, atol=1e-12)
    assert sum(1 for _ in flashode.capture._cache.all_entries()) == 1


def test_another_batch_size_is_another_capture() -> None:
    for size in (5, 3, 8, 5):
        field, state = Hutchinson(size), _flow_state(size)
        solution = flashode.odeint(field, state, T, method="rk4")
        with use_engine("eager"):
            expected = flashode.odeint(field, state, T, method="rk4")
        torch.testing.assert_close(solution[1], expected[1], rtol=1e-12, atol=1e-12)


def test_trajectories_keep_their_slices() -> None:
    order = torch.tensor([3, 1, 4, 0, 2])
    field, (y, z) = Hutchinson(), _flow_state()
    expected = flashode.odeint(field, (y, z), T, method="rk4")
    field.e = field.e[order]
    solution = flashode.odeint(field, (y[order], z), T, method="rk4")
    for x, full in zip(solution, expected, strict=True):
        assert torch.equal(x, full[:, order])


def _square_weight(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: torch.tanh(y @ w) - c * y


def _rows_of_a_weight(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: y * w[0] + w[1] * c


def _weight_alone(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: torch.sin(y @ w.T + w[2])


def _shift_of_features(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: y - c[:, 0]


def _shift_of_trajectories(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: y - c[:, :1] * w[:, 3]


def _other_trajectories(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: y * c.flip(0) + c.mean(0)


def _weighted_batch(c: Tensor, w: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: torch.tanh(w @ y) * c


@pytest.mark.parametrize(
    "make",
    [
        _square_weight,
        _rows_of_a_weight,
        _weight_alone,
        _shift_of_features,
        _shift_of_trajectories,
        _other_trajectories,
        _weighted_batch,
    ],
)
@pytest.mark.parametrize("parameters", [False, True])
def test_as_many_trajectories_as_features(make: Callable[..., Any], parameters: bool) -> None:
    """Then shapes do not tell what counts what."""
    c, w = values(4, 4, seed=1), 0.5 * values(4, 4, seed=2)
    if parameters:
        c, w = nn.Parameter(c), nn.Parameter(w)
    field = make(c, w)
    results = []
    for engine in ("native", "eager"):
        y0 = values(4, 4).requires_grad_()
        with use_engine(engine):
            states = flashode.odeint(field, y0, T, method="rk4")
        inputs = [y0, c, w] if parameters else [y0]
        loss = (states * torch.cos(torch.arange(states.numel()).view_as(states))).sum()
        gradients = torch.autograd.grad(loss, inputs, allow_unused=True, materialize_grads=True)
        results.append([states, *gradients])
    for native, eager in zip(*results, strict=True):
        torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-10)


def test_a_tensor_that_the_field_reads_as_a_number_is_not_carried() -> None:
    c = values(BATCH, 2, seed=1)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * c if float(c[0, 0]) > 0 else -y

    with pytest.raises(flashode.engines.EngineDeclined):
        flashode.odeint(field, values(BATCH, 2), T)


def test_a_nan_among_what_is_carried_is_found_where_it_matters() -> None:
    """The slice of a trajectory is no state: a NaN in it is the field's."""
    c = values(BATCH, 3, seed=2)
    c[2, 1] = torch.nan
    with pytest.raises(flashode.NonFiniteError, match=r"func returned .* \(trajectory \(2,\)\)"):
        flashode.odeint(Conditioned(c), values(BATCH, 2), T)


def _turns(c: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: torch.atan2(c, y * 0 - 1)


def _divides(c: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, y: torch.atan(1 / c) + 0 * y


@pytest.mark.parametrize("method", ["dopri5", "adaptive_heun", "rk4"])
@pytest.mark.parametrize("make", [_turns, _divides])
def test_a_zero_that_is_carried_keeps_its_sign(make: Callable[..., Any], method: str) -> None:
    """At every stage, and where the reverse solves stand."""
    c = torch.zeros(BATCH, 2, dtype=D)
    c[1::2] *= -1
    for solve in (flashode.odeint, flashode.odeint_adjoint):
        results = []
        for engine in ("native", "eager"):
            t = T.clone().requires_grad_()
            arguments: dict[str, Any] = {} if solve is flashode.odeint else {"adjoint_params": ()}
            with use_engine(engine):
                states = solve(make(c), values(BATCH, 2), t, method=method, rtol=1e-5, **arguments)
            results.append((states, *torch.autograd.grad((states[:, 1:2]).sum(), t)))
        for native, eager in zip(*results, strict=True):
            torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-10)


def test_what_is_carried_is_kept_once() -> None:
    """Not at every output time, nor with every step."""
    sizes = []
    for width in (1, 100):
        condition = values(BATCH, width, seed=2)

        def field(t: Tensor, y: Tensor) -> Tensor:
            return torch.sin(9 * t) * y + condition.sum(1, keepdim=True)  # noqa: B023

        y0 = values(BATCH, 2).requires_grad_()
        states = flashode.odeint(field, y0, T, method="rk4", options={"step_size": 0.01})
        assert states.grad_fn is not None
        saved_tensors = [saved for saved in states.grad_fn.saved_tensors if saved is not None]  # type: ignore[attr-defined]
        sizes.append(sum(saved.numel() for saved in saved_tensors))
        assert states.untyped_storage().nbytes() == states.nbytes
    tile = 8  # trajectories
    assert sizes[1] - sizes[0] <= 2 * 99 * tile
