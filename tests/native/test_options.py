"""Each option of a solve, in the compiled engine as in the eager one: values, counts and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode import use_engine
from flashode.engines import EngineDeclined
from flashode.methods import TABLEAUX
from native_methods import NATIVE_METHODS
from problems import Network, Pair, values

ADAPTIVE = [name for name in NATIVE_METHODS if flashode.METHODS[name].control == "error"]
FIXED = [name for name in NATIVE_METHODS if flashode.METHODS[name].control == "fixed"]
TIMES = [0.1, 0.35, 0.41, 0.8]
LOOSE = {"rtol": 1e-5, "atol": 1e-6}
D = torch.float64


def _times(method: str) -> list[float]:
    """Times between which errors are far above rounding, which decides where steps lie otherwise."""
    return [10 * t for t in TIMES] if method == "dopri8" else TIMES


def _start(method: str) -> dict[str, Any]:
    """A first step whose error is, too."""
    return {"first_step": 3.0} if method == "dopri8" else {}


def _loss(states: Any) -> Tensor:
    parts = states if isinstance(states, tuple) else (states,)
    weighted = [(x * torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view_as(x)).sum() for x in parts]
    return torch.stack(weighted).sum()


def _alike(
    method: str,
    options: Callable[[], dict[str, Any]],
    *,
    direction: float = 1.0,
    times: list[float] = TIMES,
    adjoint: bool = False,
    extra: Callable[[dict[str, Any]], list[Tensor]] = lambda options: [],
    within: float = 1e-10,
    **arguments: Any,
) -> None:
    """Solves in both engines; compares states, counts before and after the reverse pass, and gradients."""
    results = []
    for engine in ("native", "eager"):
        field = Network(features=2, width=3)
        y0 = values(11, 2, seed=1).requires_grad_()
        t = (direction * torch.tensor(times, dtype=D)).requires_grad_()
        keywords = options()
        solve = flashode.odeint_adjoint if adjoint else flashode.odeint
        with use_engine(engine):
            states = solve(field, y0, t, method=method, options=keywords, **arguments)
            forward = field.nfe
            inputs = (y0, t, *field.parameters(), *extra(keywords))
            gradients = torch.autograd.grad(_loss(states), inputs)
        results.append((states, gradients, (forward, field.nfe)))
    (native, native_gradients, native_counts), (eager, eager_gradients, eager_counts) = results
    # How often Newton's method asks the field is each engine's business.
    assert native_counts == eager_counts or TABLEAUX[method].equations != "none"
    torch.testing.assert_close(native, eager, rtol=1e-10, atol=1e-11)
    for a, b in zip(native_gradients, eager_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=within, atol=within / 10)


BOTH_WAYS = pytest.mark.parametrize("direction", [1.0, -1.0], ids=["forwards", "backwards"])
DISCRETE_AND_CONTINUOUS = pytest.mark.parametrize("adjoint", [False, True], ids=["discrete", "continuous"])


def _halved(func: Any, y0: Tensor, t: Tensor) -> Tensor:
    """The output times and the middles between them."""
    return torch.cat([torch.stack([t[:-1], (t[:-1] + t[1:]) / 2], 1).reshape(-1), t[-1:]])


@BOTH_WAYS
@pytest.mark.parametrize("method", FIXED)
def test_grid_constructor(method: str, direction: float) -> None:
    _alike(method, lambda: {"grid_constructor": _halved}, direction=direction)


def test_grid_constructor_before_another_adjoint_method() -> None:
    adjoint = {"adjoint_method": "dopri5", "adjoint_options": {}}
    _alike("rk4", lambda: {"grid_constructor": _halved}, adjoint=True, **adjoint)


def test_a_grid_of_the_adjoint_state_keeps_the_engine_out() -> None:
    t = torch.tensor(TIMES, dtype=D)
    with pytest.raises(EngineDeclined, match="is given the adjoint state"):
        flashode.odeint_adjoint(
            Network(), values(3, 3), t, method="rk4", options={"grid_constructor": _halved}
        )


@BOTH_WAYS
def test_output_times_between_grid_points(direction: float) -> None:
    def coarse(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        return torch.stack([t[0], 0.7 * t[0] + 0.3 * t[-1], t[-1]])

    _alike("rk4", lambda: {"grid_constructor": coarse}, direction=direction)


def test_a_grid_made_of_the_state_and_of_tensors_of_its_own() -> None:
    """Gradients flow through the grid into whatever it was made of."""

    def options() -> dict[str, Any]:
        share = torch.tensor(0.4, dtype=D, requires_grad=True)

        def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
            middle = share + 0.1 * torch.tanh(y0.mean() + func(t[0], y0).mean())
            return torch.cat([t[:1], t[:1] + middle * (t[1:2] - t[:1]), t[1:]])

        return {"grid_constructor": grid, "share": share}

    with pytest.warns(UserWarning, match="does not know 'share'"):
        _alike("rk4", options, extra=lambda args: [args["share"]])


def test_a_step_size_that_requires_grad_before_the_continuous_adjoint() -> None:
    _alike("rk4", lambda: {"step_size": torch.tensor(0.11, dtype=D, requires_grad=True)}, adjoint=True)


@BOTH_WAYS
@pytest.mark.parametrize("method", FIXED)
def test_a_step_size_that_requires_grad(method: str, direction: float) -> None:
    def options() -> dict[str, Any]:
        return {"step_size": torch.tensor(0.11, dtype=D, requires_grad=True)}

    _alike(method, options, direction=direction, extra=lambda args: [args["step_size"]])


def test_gradients_of_gradients_in_the_step_size() -> None:
    field = Network(features=2, width=3)

    def solve(y0: Tensor, step_size: Tensor) -> Any:
        t = torch.tensor([0.0, 0.5], dtype=D)
        return flashode.odeint(field, y0, t, method="rk4", options={"step_size": step_size})[-1]

    inputs = (values(2, 2).requires_grad_(), torch.tensor(0.2, dtype=D, requires_grad=True))
    assert torch.autograd.gradcheck(solve, inputs)
    assert torch.autograd.gradgradcheck(solve, inputs)


def test_the_grid_constructor_is_called_once_a_solve() -> None:
    calls = []

    def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        calls.append(t)
        return t

    y0 = values(3, 2).requires_grad_()
    t = torch.tensor(TIMES, dtype=D)
    states = flashode.odeint(
        Network(features=2, width=3), y0, t, method="rk4", options={"grid_constructor": grid}
    )
    states.sum().backward()
    assert len(calls) == 1


def test_an_error_of_the_grid_constructor_passes_through() -> None:
    def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        raise LookupError("no grid today")

    t = torch.tensor(TIMES, dtype=D)
    with pytest.raises(LookupError, match="no grid today"):
        flashode.odeint(Network(), values(3, 3), t, method="rk4", options={"grid_constructor": grid})


@BOTH_WAYS
@DISCRETE_AND_CONTINUOUS
@pytest.mark.parametrize("method", FIXED)
def test_cubic_output(method: str, adjoint: bool, direction: float) -> None:
    options = {"interp": "cubic", "step_size": 0.13}
    _alike(method, lambda: dict(options), adjoint=adjoint, direction=direction)


@BOTH_WAYS
def test_cubic_output_of_a_step_size_that_requires_grad(direction: float) -> None:
    def options() -> dict[str, Any]:
        return {"interp": "cubic", "step_size": torch.tensor(0.13, dtype=D, requires_grad=True)}

    _alike("midpoint", options, direction=direction, extra=lambda args: [args["step_size"]])


# In between, on an output time, before the first step's end, and beyond the last time.
PRESCRIBED = [0.2, 0.41, 0.101, 0.85]


@BOTH_WAYS
@DISCRETE_AND_CONTINUOUS
@pytest.mark.parametrize("option", ["step_t", "jump_t"])
@pytest.mark.parametrize("method", ADAPTIVE)
def test_prescribed_times(method: str, option: str, adjoint: bool, direction: float) -> None:
    scale = _times(method)[0] / TIMES[0]
    prescribed = direction * scale * torch.tensor(PRESCRIBED, dtype=D)
    _alike(
        method,
        lambda: {option: prescribed, **_start(method)},
        adjoint=adjoint,
        direction=direction,
        times=_times(method),
        # Steps cut short at prescribed times have errors near rounding.
        within=1e-9,
        **LOOSE,
    )


@pytest.mark.parametrize("method", ADAPTIVE)
def test_steps_and_jumps(method: str) -> None:
    options = {"step_t": [0.2, 0.3], "jump_t": [0.25, 0.7], **_start(method)}
    _alike(method, lambda: dict(options), times=_times(method), **LOOSE)


def test_gradcheck_of_a_field_that_jumps() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(t < 0.5, rate * y, 0.1 - rate * torch.sin(y))

    rate = torch.tensor(0.7, dtype=D, requires_grad=True)

    def solve(y0: Tensor, *_: Tensor) -> Any:
        options = {"jump_t": [0.5], "first_step": 0.1, "max_step": 0.1, "min_step": 0.1}
        return flashode.odeint(field, y0, torch.tensor([0.0, 0.3, 1.0], dtype=D), options=options)

    assert torch.autograd.gradcheck(solve, (values(3, 2).requires_grad_(), rate))


TOLERANCES = {
    "both": {"rtol": torch.tensor([1e-3, 1e-6], dtype=D), "atol": torch.tensor([1e-6, 1e-4], dtype=D)},
    "rtol": {"rtol": torch.tensor([1e-3, 1e-6], dtype=D), "atol": 1e-8},
    "atol": {"rtol": 1e-5, "atol": torch.tensor([1e-6, 1e-4], dtype=D)},
    "each element": {"rtol": 1e-5, "atol": torch.linspace(1e-7, 1e-4, 22, dtype=D).view(11, 2)},
    "each trajectory": {"rtol": torch.linspace(1e-7, 1e-4, 11, dtype=D)[:, None], "atol": 1e-6},
}


@BOTH_WAYS
@pytest.mark.parametrize("tolerances", TOLERANCES.values(), ids=list(TOLERANCES))
@pytest.mark.parametrize("method", ADAPTIVE)
def test_tolerances_by_element(method: str, tolerances: dict[str, Any], direction: float) -> None:
    _alike(method, lambda: _start(method), direction=direction, times=_times(method), **tolerances)


def test_tolerances_by_component() -> None:
    results = []
    for engine in ("native", "eager"):
        field = Pair()
        y0 = (values(5, 3).requires_grad_(), values(5, 1, seed=1).requires_grad_())
        t = torch.tensor(TIMES, dtype=D, requires_grad=True)
        with use_engine(engine):
            states = flashode.odeint(field, y0, t, rtol=(1e-3, 1e-8), atol=(1e-6, torch.tensor(1e-4)))
            results.append(
                (field.nfe, states, torch.autograd.grad(_loss(states), (*y0, t, *field.parameters())))
            )
    assert results[0][0] == results[1][0]
    for i in (1, 2):
        for a, b in zip(results[0][i], results[1][i], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


@BOTH_WAYS
@pytest.mark.parametrize("method", ADAPTIVE)
def test_a_norm(method: str, direction: float) -> None:
    options = {"norm": lambda x: x.abs().max(), **_start(method)}
    _alike(method, lambda: dict(options), direction=direction, times=_times(method), **LOOSE)


def test_the_norm_sees_the_state_s_structure() -> None:
    """Eager asks it in the caller's grad mode, as torchdiffeq does; compiled steps have no graph."""
    weight = torch.tensor(1.0, dtype=D, requires_grad=True)
    seen: list[tuple[bool, tuple[torch.Size, ...], Any]] = []

    def norm(state: tuple[Tensor, Tensor]) -> Tensor:
        y, z = state
        seen.append((torch.is_grad_enabled(), (y.shape, z.shape), y))
        return weight * torch.maximum(y.abs().amax(), z.square().mean().sqrt())

    results = []
    for engine in ("native", "eager"):
        field = Pair()
        y0 = (values(5, 3).requires_grad_(), values(5, 1, seed=1))
        with use_engine(engine):
            states = flashode.odeint(field, y0, torch.tensor(TIMES, dtype=D), options={"norm": norm})
        results.append((field.nfe, len(seen), *states))
    assert results[0][0] == results[1][0]
    assert 2 * results[0][1] == results[1][1]
    for a, b in zip(results[0][2:], results[1][2:], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)
    assert {shapes for _, shapes, _ in seen} == {(torch.Size([5, 3]), torch.Size([5, 1]))}
    assert [mode for mode, _, _ in seen] == [False] * results[0][1] + [True] * results[0][1]
    # Each call gets numbers of its own, which nothing changes afterwards.
    assert len({tuple(y.flatten().tolist()) for _, _, y in seen}) > len(seen) / 4


def test_an_error_of_the_norm_passes_through() -> None:
    def norm(state: Tensor) -> Tensor:
        raise LookupError("no norm today")

    with pytest.raises(LookupError, match="no norm today"):
        flashode.odeint(Network(), values(3, 3), torch.tensor(TIMES, dtype=D), options={"norm": norm})


def test_a_norm_of_the_state_keeps_the_continuous_adjoint_out() -> None:
    field, t = Network(), torch.tensor(TIMES, dtype=D)
    options = {"norm": lambda x: x.abs().max()}
    with pytest.raises(EngineDeclined, match="the adjoint equations are measured in as well"):
        flashode.odeint_adjoint(field, values(3, 3), t, options=options)
    flashode.odeint_adjoint(field, values(3, 3), t, method="rk4", options=options)
