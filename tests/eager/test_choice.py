"""Which engine runs a solve, and what is said about it."""

from __future__ import annotations

import itertools
import re
import warnings
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import FallbackWarning, odeint, odeint_adjoint, use_engine
from flashode.declined import Declined
from flashode.engines import REGISTRY, EngineDeclined, choose
from flashode.problem import DISCRETE, make_problem

T = torch.linspace(0, 1, 3)
Y0 = torch.ones(2)


class Refuses:
    """Stands in for an engine that takes nothing."""

    name = "native"

    def __init__(self, *answers: Declined) -> None:
        self._answers = itertools.cycle(answers)

    def plan(self, problem: Any, adjoint: Any) -> Declined:
        return next(self._answers)


def answer(monkeypatch: pytest.MonkeyPatch, *answers: Declined) -> None:
    """Lets the native engine decline, each time with the next answer."""
    native = Refuses(*answers)
    monkeypatch.setitem(REGISTRY, "native", lambda: native)


def problem_of(func: Any) -> Any:
    return make_problem(func, Y0, T, rtol=1e-3, atol=1e-3, method=None, options=None)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The native engine declines."""
    answer(monkeypatch, Declined("it refuses everything"))


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no native engine, and none that stands in for it."""
    for name in ("native", "numba"):
        monkeypatch.setitem(REGISTRY, name, lambda: Declined("there is none", absent=True))


def test_unknown_engine() -> None:
    with (
        pytest.raises(ValueError, match="one of 'auto', 'cuda', 'native', 'numba', 'eager', got 'gpu'"),
        use_engine("gpu"),
    ):
        pass


def test_block_ends(absent: None) -> None:
    with pytest.raises(ValueError, match="there is none"), use_engine("native"):
        choose(problem_of(lambda t, y: -y), DISCRETE)
    with use_engine("eager"), use_engine("auto"):
        assert choose(problem_of(lambda t, y: -y), DISCRETE).engine == "eager"


def test_insisting_on_an_engine_that_declines(refusing: None) -> None:
    with use_engine("native"), pytest.raises(EngineDeclined, match="because it refuses everything"):
        odeint(lambda t, y: -y, Y0, T)


def test_an_absent_engine_is_passed_over_in_silence(absent: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odeint(lambda t, y: -y, Y0, T)


def test_falling_back_warns_once_for_each_function(refusing: None) -> None:
    class Field(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return -y

        def also(self, t: Tensor, y: Tensor) -> Tensor:
            return -2 * y

    def scaled(scale: float, t: Tensor, y: Tensor) -> Tensor:
        return scale * y

    field, other = Field(), Field()
    fields: list[Any] = [field, field.also, partial(scaled, 2.0), lambda t, y: -y, other]
    for func in fields:
        with pytest.warns(FallbackWarning, match="native engine because it refuses everything") as caught:
            odeint(func, Y0, T)
        # The line of the caller, not one of ours.
        assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for func in (field, field.also, partial(scaled, 3.0), fields[3], other):
            odeint(func, Y0, T)


def test_the_warning_says_what_to_do(refusing: None) -> None:
    with pytest.warns(FallbackWarning) as caught:
        odeint(lambda t, y: -y, Y0, T)
    text = str(caught[0].message)
    assert "flashode.explain(func, y0)" in text
    (advice,) = re.findall(r"warnings\.filterwarnings\(.*\)", text)
    with warnings.catch_warnings(record=True) as caught_again:
        warnings.simplefilter("always")
        exec(advice, {"warnings": warnings, "flashode": flashode})
        odeint(lambda t, y: -2 * y, Y0, T)
    assert not caught_again


def test_a_field_that_raises_raises_without_a_warning(refusing: None) -> None:
    net = nn.Linear(3, 2)

    def late(t: Tensor, y: Tensor) -> Tensor:
        if t > 0.7:
            raise LookupError("too late")
        return -y

    fields: list[tuple[Any, type[Exception], str]] = [
        (lambda t, y: net(y), RuntimeError, "shapes cannot be multiplied"),
        (lambda t, y: torch.stack([y, y, y]), ValueError, "must return a tensor of shape"),
        (lambda t, y: None, TypeError, "must return a tensor"),
        (late, LookupError, "too late"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for func, error, named in fields:
            for solve in (odeint, partial(odeint_adjoint, adjoint_params=())):
                with pytest.raises(error, match=named):
                    solve(func, Y0, T)  # type: ignore[operator]
    # When it raises no more it is news.
    with pytest.warns(FallbackWarning, match="refuses everything"):
        odeint(late, Y0, T / 2)


# Of each function a warning is given once.
BOTH = [
    pytest.param(odeint, lambda t, y: -y, lambda t, y: -2 * y, id="odeint"),
    pytest.param(
        partial(odeint_adjoint, adjoint_params=()), lambda t, y: -y, lambda t, y: -2 * y, id="adjoint"
    ),
]


@pytest.mark.parametrize(("solve", "field", "other"), BOTH)
def test_when_the_warning_comes(refusing: None, solve: Any, field: Any, other: Any) -> None:
    y0 = Y0.clone().requires_grad_()
    too_few = {"max_num_steps": 1, "first_step": 1e-3}
    with (
        pytest.warns(FallbackWarning, match="refuses everything") as caught,
        pytest.raises(flashode.MaxStepsExceeded),
    ):
        solve(field, y0, T, options=too_few)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # As an error it ends one solve.
        with pytest.raises(FallbackWarning, match="refuses everything"):
            solve(other, y0, T)
        assert solve(other, y0, T).requires_grad


def test_a_warning_does_not_call_the_function(refusing: None) -> None:
    calls: list[float] = []

    def func(t: Tensor, y: Tensor) -> Tensor:
        calls.append(float(t))
        return -y

    with pytest.warns(FallbackWarning):
        odeint(func, Y0, T, method="euler")
    assert calls == [0.0, 0.5]


def test_each_reason_warns_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = ["it is too long", "it is too short", "it is too long", "its batch is 3", "its batch is 12"]
    answer(monkeypatch, *map(Declined, reasons))
    field = nn.Linear(2, 2)

    def func(t: Tensor, y: Tensor) -> Tensor:
        return field(y)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in reasons:
            odeint(func, Y0, T)
    # Another batch size is no other reason.
    warned = [str(w.message).partition(" because ")[2].partition(";")[0] for w in caught]
    assert warned == ["it is too long", "it is too short", "its batch is 3"]


def test_an_engine_that_is_outrun_is_passed_over_in_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, Declined("another one is faster", expected=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odeint(lambda t, y: -y, Y0, T)


def test_objects_made_afresh_warn_once(refusing: None) -> None:
    class Field:
        def __call__(self, t: Tensor, y: Tensor) -> Tensor:
            return -y

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            odeint(Field(), Y0, T)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "solve", [odeint, partial(odeint_adjoint, adjoint_params=())], ids=["odeint", "adjoint"]
)
def test_verify_is_checked_and_handed_on(solve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Refuses:
        def plan(self, problem: Any, adjoint: Any) -> Declined:
            seen.append(problem.settings.verify)
            return Declined("it only looks", absent=True)

    monkeypatch.setitem(REGISTRY, "native", Refuses)
    solve(lambda t, y: -y, Y0, T)
    for verify in ("first", "always", "never"):
        solve(lambda t, y: -y, Y0, T, verify=verify)
    assert seen == ["first", "first", "always", "never"]
    with pytest.raises(ValueError, match="verify must be one of 'first', 'always', 'never', got 'sometimes'"):
        solve(lambda t, y: -y, Y0, T, verify="sometimes")


def test_lambdas_made_afresh_warn_once(refusing: None) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for scale in (1.0, 2.0, 3.0):
            odeint(lambda t, y, scale=scale: -scale * y, Y0, T)
    assert len(caught) == 1


def test_functions_without_weak_references_warn_once(refusing: None) -> None:
    class Slotted:
        __slots__ = ()
        __hash__ = None  # type: ignore[assignment]

        def __call__(self, t: Tensor, y: Tensor) -> Tensor:
            return -y

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            odeint(Slotted(), Y0, T)
    assert len(caught) == 1


def test_the_eager_engine_is_always_there() -> None:
    assert REGISTRY["eager"]().name == "eager"  # type: ignore[union-attr]
    assert list(REGISTRY) == ["cuda", "native", "numba", "eager"]


def test_eager_plan_keeps_the_protocol() -> None:
    """The eager engine is reversed by autograd and has no discrete vjp of its own."""
    y0 = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    t = torch.linspace(0, 1, 3, dtype=torch.float64).requires_grad_()
    problem = make_problem(lambda t, y: -y * t, y0, t, rtol=1e-6, atol=1e-8, method=None, options=None)
    with use_engine("eager"):
        plan = choose(problem, DISCRETE)
    plain = plan.forward(record=False)
    assert plain.record is None
    assert not plain.states.requires_grad
    assert not plan.reversible
    cotangent = torch.arange(6, dtype=torch.float64).reshape(3, 2)
    with pytest.raises(TypeError, match="reversed by autograd"):
        plan.discrete_vjp(None, (), cotangent)
    with pytest.raises(TypeError, match="adjoint"):
        plan.continuous_vjp(None, (), plain.states, cotangent)


def test_warnings_point_at_the_caller_through_every_face() -> None:
    def branching(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -y if y.sum() > 0 else y

    zero = torch.tensor(0.0)
    with pytest.warns(flashode.FallbackWarning) as caught:
        flashode.odeint_event(branching, torch.ones(2), zero, event_fn=lambda t, y: y[0] - 0.5)
    with pytest.warns(UserWarning, match="nonsense") as unknown:
        flashode.odeint_dense(lambda t, y: -y, torch.ones(2), zero, 1.0, options={"nonsense": 1})
    assert {record.filename for record in (*caught, *unknown)} == {__file__}
