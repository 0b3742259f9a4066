"""Data of a solve serves later ones that differ only in content, and no others."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import capture as capturing
from flashode.engines.compiled import field as compiled_field
from flashode.engines.compiled.memo import memo_of

SOLVES = [flashode.odeint, flashode.odeint_adjoint]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y)) * torch.cos(t)


@pytest.fixture
def setups() -> Iterator[list[object]]:
    """Each time that something is found out about a solve."""
    seen: list[object] = []
    make = compiled_field._make_setup

    def spied(*args: Any) -> object:
        seen.append(args)
        return make(*args)

    with patch.object(compiled_field, "_make_setup", spied):
        yield seen


def _field() -> Net:
    torch.manual_seed(0)
    return Net()


def _y0(seed: int = 0, batch: int = 4) -> Tensor:
    return torch.randn(batch, 3, generator=torch.Generator().manual_seed(seed))


def _t(end: float = 1.0) -> Tensor:
    return torch.linspace(0.0, end, 4)


def _eager(solve: Callable[..., Tensor], field: nn.Module, y0: Tensor, t: Tensor, **more: object) -> Tensor:
    with flashode.use_engine("eager"):
        return solve(field, y0, t, **more)


@pytest.mark.parametrize("solve", SOLVES)
def test_other_content_is_found_out_about_once(solve: Callable[..., Tensor], setups: list[object]) -> None:
    field = _field()
    solve(field, _y0(), _t())
    before = len(setups)
    y0 = _y0(1)
    with torch.no_grad():
        field.layer.weight.mul_(1.3)
    states = solve(field, y0, _t())
    assert len(setups) == before
    states.sum().backward()
    own = field.layer.weight.grad.clone()
    field.zero_grad()
    expected = _eager(solve, field, y0, _t())
    torch.testing.assert_close(states, expected, rtol=1e-5, atol=1e-5)
    expected.sum().backward()
    torch.testing.assert_close(own, field.layer.weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solve", SOLVES)
def test_other_times_count(solve: Callable[..., Tensor], setups: list[object]) -> None:
    field = _field()
    solve(field, _y0(), _t())
    before = len(setups)
    torch.testing.assert_close(
        solve(field, _y0(), _t(0.5)), _eager(solve, field, _y0(), _t(0.5)), rtol=1e-5, atol=1e-5
    )
    assert len(setups) == before
    backwards = _t().flip(0)
    torch.testing.assert_close(
        solve(field, _y0(), backwards), _eager(solve, field, _y0(), backwards), rtol=1e-5, atol=1e-5
    )
    assert solve(field, _y0(), _t()[:1]).shape == (1, 4, 3)
    for wrong, error in (
        (torch.tensor([0.0, 1.0, 0.5, 2.0]), ValueError),
        (torch.tensor([0.0, 1.0, float("nan"), 2.0]), ValueError),
        (torch.zeros(2, 2), ValueError),
        (torch.tensor([0, 1]), TypeError),
        ([0.0, 1.0], TypeError),
    ):
        with pytest.raises(error, match="t must"):
            solve(field, _y0(), wrong)


@pytest.mark.parametrize("solve", SOLVES)
def test_other_settings_count(solve: Callable[..., Tensor]) -> None:
    field = _field()
    solve(field, _y0(), _t())
    coarse = solve(field, _y0(), _t(), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(
        coarse, _eager(solve, field, _y0(), _t(), rtol=1e-2, atol=1e-2), rtol=1e-6, atol=1e-6
    )
    halved = {"method": "rk4", "options": {"step_size": 0.5}}
    solve(field, _y0(), _t(), method="rk4", options={"step_size": 0.1})
    torch.testing.assert_close(
        solve(field, _y0(), _t(), **halved), _eager(solve, field, _y0(), _t(), **halved), rtol=1e-6, atol=1e-6
    )
    for wrong in ({"rtol": -1.0}, {"method": "nothing"}, {"options": {"safety": -1}}, {"verify": "often"}):
        with pytest.raises(ValueError, match="must be"):
            solve(field, _y0(), _t(), **wrong)


@pytest.mark.parametrize("place", ["object", "class"])
def test_a_callback_that_came_later_is_called(place: str) -> None:
    class Field(Net):
        pass

    field = Field()
    flashode.odeint(field, _y0(), _t())
    calls: list[float] = []

    def callback(*arguments: Tensor) -> None:
        calls.append(float(arguments[-3]))

    (field if place == "object" else Field).callback_step = callback
    with flashode.use_engine("auto"), pytest.warns(flashode.FallbackWarning, match="callbacks"):
        flashode.odeint(field, _y0(), _t())
    assert calls


def test_a_parameter_that_came_later_has_its_gradient() -> None:
    field = _field()
    flashode.odeint_adjoint(field, _y0(), _t()).sum().backward()
    field.later = nn.Parameter(torch.ones(2))
    flashode.odeint_adjoint(field, _y0(), _t()).sum().backward()
    assert torch.equal(field.later.grad, torch.zeros(2))


def test_parameters_that_are_given_count_each_time() -> None:
    field = _field()
    flashode.odeint_adjoint(field, _y0(), _t(), adjoint_params=iter(field.parameters())).sum().backward()
    assert field.layer.bias.grad is not None
    field.zero_grad()
    flashode.odeint_adjoint(field, _y0(), _t(), adjoint_params=(field.layer.weight,)).sum().backward()
    assert field.layer.bias.grad is None and field.layer.weight.grad is not None
    with pytest.raises(TypeError, match="adjoint_params"):
        flashode.odeint_adjoint(field, _y0(), _t(), adjoint_params=field.layer.weight)


def test_the_engine_asked_for_runs(setups: list[object]) -> None:
    field = _field()
    flashode.odeint(field, _y0(), _t())
    with flashode.use_engine("eager"), flashode.record() as report:
        flashode.odeint(field, _y0(), _t())
    assert [solves.engine for solves in report.solves] == ["eager"]
    with flashode.record() as report:
        flashode.odeint(field, _y0(), _t())
    assert [solves.engine for solves in report.solves] == ["native"]


def test_code_that_changed_is_seen() -> None:
    field = _field()
    flashode.odeint(field, _y0(), _t())
    field.forward = lambda t, y: -y  # type: ignore[method-assign]
    torch.testing.assert_close(
        flashode.odeint(field, _y0(), _t())[-1], _y0() * torch.exp(torch.tensor(-1.0)), rtol=1e-4, atol=1e-5
    )


def test_tuples_other_kinds_and_transforms() -> None:
    def field(t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return y[1], -y[0]

    def pair(scale: float, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        return scale * torch.ones(3, 1, dtype=dtype), torch.zeros(3, 1, dtype=dtype)

    first = flashode.odeint(field, pair(1.0), _t())
    second = flashode.odeint(field, pair(2.0), _t())
    torch.testing.assert_close(second[0], 2 * first[0], rtol=1e-5, atol=1e-5)
    assert flashode.odeint(field, pair(1.0, torch.float64), _t())[0].dtype == torch.float64
    net = _field()
    flashode.odeint(net, _y0(), _t())
    wanted = _y0().requires_grad_()
    flashode.odeint(net, wanted, _t()).sum().backward()
    assert wanted.grad is not None
    times = _t().requires_grad_()
    flashode.odeint(net, _y0(), times).sum().backward()
    assert times.grad is not None and times.grad.abs().sum() > 0
    with flashode.use_engine("auto"), pytest.warns(flashode.FallbackWarning, match="transform"):
        inside = torch.func.grad(lambda y: flashode.odeint(net, y, _t()).sum())(_y0())
    torch.testing.assert_close(inside, wanted.grad, rtol=1e-4, atol=1e-4)


def _between(name: str, field: Net) -> None:
    """A solve of seven trajectories that leaves nothing to be repeated, or something else."""
    y0, t = _y0(batch=7), _t()
    if name == "other settings":
        flashode.odeint(field, y0, t, rtol=1e-5)
    elif name == "the other gradient":
        flashode.odeint_adjoint(field, y0, t)
    elif name == "explain":
        flashode.explain(field, y0)
    elif name == "record":
        with flashode.record():
            flashode.odeint(field, y0, t)
    elif name == "dense":
        flashode.odeint_dense(field, y0, t[0], t[-1])
    else:
        flashode.odeint(field, y0, t, atol=torch.tensor(1e-6))


@pytest.mark.parametrize(
    "between", ["other settings", "the other gradient", "explain", "record", "dense", "a tensor"]
)
def test_a_solve_of_another_batch_is_laid_out_for_it(between: str) -> None:
    field = _field()
    flashode.odeint(field, _y0(), _t())
    _between(between, field)
    torch.testing.assert_close(
        flashode.odeint(field, _y0(batch=7), _t()),
        _eager(flashode.odeint, field, _y0(batch=7), _t()),
        rtol=1e-5,
        atol=1e-5,
    )


@pytest.mark.parametrize("solve", SOLVES)
def test_two_threads_with_batches_of_their_own(solve: Callable[..., Tensor]) -> None:
    field = _field()
    expected = {batch: _eager(solve, field, _y0(batch=batch), _t()).detach() for batch in (4, 7)}
    wrong: list[str] = []

    def run(batch: int) -> None:
        for _ in range(200):
            states = solve(field, _y0(batch=batch), _t()).detach()
            if not torch.allclose(states, expected[batch], rtol=1e-5, atol=1e-5):
                wrong.append(f"{batch} trajectories")

    threads = [threading.Thread(target=run, args=(batch,)) for batch in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("solve", SOLVES)
@pytest.mark.parametrize("kind", ["state", "parameter", "times", "tuple"])
def test_gradients_and_tuples_are_found_out_about_once(
    solve: Callable[..., Any], kind: str, setups: list[object]
) -> None:
    net = _field()

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, t: Tensor, y: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
            return self.net(t, y[0]), -y[1]

    field = Pair() if kind == "tuple" else net
    seen = []
    for _ in range(3):
        y0: Any = _y0()
        if kind == "state":
            y0 = (_y0().requires_grad_() * 2) / 2  # as an encoder's
        elif kind == "parameter":
            y0 = nn.Parameter(_y0())
        elif kind == "tuple":
            y0 = (_y0(), torch.ones(1, 1).expand(4, 1))
        t = _t().requires_grad_() if kind == "times" else _t()
        states = solve(field, y0, t)
        (states[0] if kind == "tuple" else states).sum().backward()
        seen.append(len(setups))
    assert seen == [1, 1, 1]


def test_blocks_of_one_class_take_turns(setups: list[object]) -> None:
    class Wide(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = nn.Linear(width, width)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return torch.tanh(self.layer(y))

    blocks = [Wide(2), Wide(3)]
    for _ in range(3):
        for block in blocks:
            y0 = torch.ones(4, block.layer.in_features)
            flashode.odeint(block, y0, _t())
            flashode.odeint(block, y0, _t().flip(0))
    assert len(setups) == 4


def test_a_warning_comes_each_time() -> None:
    field = _field()
    for _ in range(3):
        with pytest.warns(UserWarning, match="blah"):
            flashode.odeint(field, _y0(), _t(), options={"blah": 1})


def test_zeros_of_both_signs_are_different_times() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.where(1 / t > 0, y, -y)

    t = torch.tensor([0.0, 1.0])
    up = flashode.odeint(field, torch.ones(2, 1), t, method="euler")
    down = flashode.odeint(field, torch.ones(2, 1), t * torch.tensor([-1.0, 1.0]), method="euler")
    assert float(up[-1, 0]) == 2.0 and float(down[-1, 0]) == 0.0


def test_counters_count_at_every_solve(setups: list[object]) -> None:
    class Counting(Net):
        def __init__(self) -> None:
            super().__init__()
            self.nfe = 0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            self.nfe += 1
            return super().forward(t, y)

    field = Counting()
    flashode.odeint(field, _y0(), _t())
    first, field.nfe = field.nfe, 0
    flashode.odeint(field, _y0(), _t())
    assert field.nfe == first > 0 and len(setups) == 1


def test_what_is_kept_goes_with_its_program() -> None:
    field = _field()
    flashode.odeint(field, _y0(), _t())
    program = flashode.explain(field, _y0()).program
    module = weakref.ref(memo_of(program).by_backend["native"]["program"])
    del field, program
    gc.disable()
    try:
        capturing._cache.clear()
        assert module() is None
    finally:
        gc.enable()


def test_nothing_of_the_users_is_kept() -> None:
    field, y0, t = _field(), _y0(), _t()
    flashode.odeint(field, y0, t)
    flashode.odeint_adjoint(field, y0, t)
    references = [weakref.ref(one) for one in (field, field.layer.weight, y0, t)]
    del field, y0, t
    gc.collect()
    assert not any(one() is not None for one in references)


def test_checking_always_changes_nothing_else(setups: list[object]) -> None:
    field = _field()
    for _ in range(2):
        flashode.odeint(field, _y0(), _t(), verify="always")
    assert len(setups) == 1


REPEATED: dict[str, Callable[[Net], object]] = {
    "an event": lambda field: flashode.odeint_event(
        field,
        _y0(),
        torch.tensor(0.0),
        event_fn=lambda t, y: t - 0.5,
        method="rk4",
        options={"step_size": 0.1},
    ),
    "dense output": lambda field: flashode.odeint_dense(field, _y0(), 0.0, 1.0),
    "tolerances by element": lambda field: flashode.odeint(
        field, _y0(), _t(), rtol=torch.full((3,), 1e-5), atol=torch.full((4, 3), 1e-5)
    ),
    "prescribed times": lambda field: flashode.odeint(
        field, _y0(), _t(), options={"step_t": torch.tensor([0.3]), "jump_t": [0.6]}
    ),
    "a norm": lambda field: flashode.odeint(
        field, _y0(), _t(), options={"norm": torch.linalg.vector_norm, "first_step": 0.1}
    ),
    "a grid": lambda field: flashode.odeint(
        field, _y0(), _t(), method="rk4", options={"grid_constructor": lambda func, y0, t: t}
    ),
    "a step that is differentiated": lambda field: flashode.odeint(
        field, _y0(), _t(), method="rk4", options={"step_size": torch.tensor(0.25, requires_grad=True)}
    ),
    "an integer": lambda field: flashode.odeint(field, _y0(), _t(), options={"max_num_steps": 1000}),
}


@pytest.mark.parametrize("name", REPEATED)
def test_every_kind_of_solve_is_found_out_about_once(name: str, setups: list[object]) -> None:
    field = _field()
    with flashode.use_engine("native"):
        REPEATED[name](field)
        before = len(setups)
        REPEATED[name](field)
    assert len(setups) == before > 0
