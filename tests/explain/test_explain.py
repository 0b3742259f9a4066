"""What `explain` says."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from flashode import explain, use_engine
from flashode.capture import making
from flashode.declined import Declined
from flashode.engines import REGISTRY, EngineDeclined, native

Y0 = torch.linspace(-1, 1, 40).view(20, 2)


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2))
        self.skew = nn.Parameter(torch.ones(2, 2))
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.net(y) @ (self.skew - self.skew.T)


def branching(t: Tensor, y: Tensor) -> Tensor:
    if float(y.sum()) > 0:
        return -y
    return y


def mixing(t: Tensor, y: Tensor) -> Tensor:
    return y - y.mean(0)


def test_a_captured_field() -> None:
    field = Field()
    explanation = explain(field, Y0)
    assert (explanation.function, explanation.engine, dict(explanation.declined)) == ("Field", "native", {})
    assert explanation.error is None
    assert (explanation.batched, explanation.trajectories) == (True, 20)
    assert explanation.program is not None
    assert explanation.program.widths[1] == 2
    arguments = dict(zip(explanation.parameters, explanation.program.parameter_shapes, strict=True))
    assert arguments["net.0.weight"] == (5, 2)
    assert arguments["net.2.bias"] == (2,)
    assert any("sub(skew, mT(skew))" in name for name in arguments)
    assert explanation.counters == {"nfe": 1}
    assert field.nfe == 0


def test_its_text() -> None:
    lines = str(explain(Field(), Y0, method="rk4")).splitlines()
    assert lines[0] == "Field runs in the native engine."
    assert "solve       rk4, discrete adjoint" in lines
    assert "state       (20, 2) float32, 20 independent trajectories of 2 numbers" in lines
    assert "counter     nfe grows by 1 at each evaluation" in lines
    assert "parameters  31 numbers, read or computed by torch once a solve" in lines
    assert "program     53 flops an evaluation of one trajectory" in lines
    assert any(line.split() == ["p0", "[5,", "2]", "net.0.weight"] for line in lines)
    (tanh,) = (line for line in lines if "tanh" in line)
    assert tanh.split("]")[0].endswith("[5")
    assert all(line == line.rstrip() for line in lines)
    explanation = explain(Field(), Y0)
    assert repr(explanation) == str(explanation)


def test_a_field_that_cannot_be_captured_shows_the_line() -> None:
    explanation = explain(branching, Y0)
    assert explanation.engine == "eager"
    assert list(explanation.declined) == ["native"]
    assert explanation.program is None
    lines = [line.strip() for line in str(explanation).splitlines()]
    assert lines[0] == "branching runs in the eager engine: plain PyTorch, a step at a time."
    assert lines[2].startswith("native      declines because it turns a tensor into a Python number")
    shown = lines.index("if float(y.sum()) > 0:")
    assert "write torch.where(condition, a, b)" in " ".join(lines[2:shown])
    assert lines[shown - 1].startswith("at ")
    assert lines[shown - 1].endswith(f"test_explain.py:{branching.__code__.co_firstlineno + 1}")


def test_trajectories_that_depend_on_each_other() -> None:
    explanation = explain(mixing, Y0)
    assert (explanation.batched, explanation.trajectories) == (False, 1)
    assert "one trajectory of 40 numbers" in str(explanation)


def test_a_single_trajectory() -> None:
    assert "one trajectory of 2 numbers" in str(explain(lambda t, y: -y, Y0[0]))


def test_a_tuple_state() -> None:
    explanation = explain(lambda t, state: (state[1], -state[0]), (Y0, Y0 + 1))
    assert explanation.engine == "native"
    assert "((20, 2), (20, 2)) float32, 20 independent trajectories of 4 numbers" in str(explanation)


def test_a_tensor_of_which_each_trajectory_reads_its_slice() -> None:
    context = torch.linspace(0, 1, 60).view(20, 3)
    explanation = explain(lambda t, y: y * context.sum(-1, keepdim=True), Y0)
    assert explanation.engine == "native"
    assert explanation.carried == ((20, 3),)
    assert "20 independent trajectories of 2 numbers" in str(explanation)
    assert "a tensor of shape (20, 3): each trajectory reads its own slice" in str(explanation)


def test_names_of_tensors_from_everywhere() -> None:
    scale, net = torch.ones(2), nn.Linear(2, 2)

    def inner(y: Tensor) -> Tensor:
        return net(y) * scale

    explanation = explain(lambda t, y: inner(y), Y0)
    assert set(explanation.parameters) == {"net.weight", "net.bias", "scale"}
    assert set(explain(Field().forward, Y0).parameters) >= {"net.0.weight", "net.0.bias"}
    assert set(explain(partial(lambda w, t, y: w * y, scale), Y0).parameters) == {"w"}
    assert set(explain(lambda t, y, *, rate=scale: rate * y, Y0).parameters) == {"rate"}


def test_a_problem_that_the_engine_does_not_take_still_shows_the_program() -> None:
    explanation = explain(Field(), Y0, options={"dtype": torch.float32})
    assert explanation.engine == "eager"
    assert "dtype" in explanation.declined["native"]
    assert explanation.program is not None
    assert "flops" in str(explanation)


def test_the_adjoint_s_arguments_are_looked_at() -> None:
    assert explain(Field(), Y0).gradients == "discrete adjoint"
    assert explain(Field(), Y0, adjoint=True).gradients == "continuous adjoint"
    assert explain(branching, Y0, adjoint_params=()).gradients == "continuous adjoint"
    explanation = explain(Field(), Y0, adjoint_options={"norm": lambda state: state[0].abs().max()})
    assert "adjoint option norm" in explanation.declined["native"]
    with pytest.raises(ValueError, match="adjoint_params must be given"):
        explain(branching, Y0, adjoint=True)


@pytest.mark.parametrize("t", [None, 0.5, 1, torch.tensor(0.5), torch.linspace(1, 0, 5)], ids=str)
def test_times(t: Any) -> None:
    assert explain(lambda t, y: t * y, Y0, t).engine == "native"


def test_under_use_engine() -> None:
    with use_engine("eager"):
        explanation = explain(Field(), Y0)
    assert explanation.engine == "eager"
    assert "as use_engine asks" in str(explanation)
    with use_engine("native"):
        explanation = explain(branching, Y0)
    assert explanation.engine is None
    assert "use_engine insists on the native engine, which declines" in str(explanation)


def test_an_installation_without_the_compiled_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_backend", None)
    monkeypatch.setitem(REGISTRY, "native", native.engine)  # in the place of the engine that is loaded
    monkeypatch.setitem(REGISTRY, "numba", lambda: Declined("numba is not installed", absent=True))
    explanation = explain(Field(), Y0)
    assert explanation.engine == "eager"
    assert "no compiled module" in explanation.declined["native"]
    assert "numba is not installed" in explanation.declined["numba"]
    assert explanation.program is not None


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.net(y)


def test_a_field_that_raises_shows_its_own_error() -> None:
    field = Broken()
    explanation = explain(field, Y0)
    assert isinstance(explanation.error, RuntimeError)
    lines = [line.strip() for line in str(explanation).splitlines()]
    assert lines[0] == "Broken does not run: calling it raises RuntimeError."
    assert lines[2].startswith("error       RuntimeError: mat1 and mat2 shapes cannot be multiplied")
    assert "return self.net(y)" in lines
    assert "tracing" not in str(explanation)
    assert field.nfe == 0


def test_a_field_that_returns_the_wrong_shape() -> None:
    explanation = explain(lambda t, y: y[:, :1].expand(20, 3), Y0)
    assert isinstance(explanation.error, ValueError)
    assert "must return a tensor of shape (20, 2)" in str(explanation)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ((3, Y0), TypeError, "func must be a callable"),
        ((branching, [1.0]), TypeError, "y0 must be a tensor"),
        ((branching, torch.ones(2, dtype=torch.int64)), TypeError, "y0 must have a floating-point"),
        ((branching, torch.ones(2, device="meta")), ValueError, "y0 must hold numbers"),
        ((branching, Y0, torch.ones(2, device="meta")), ValueError, "t must hold numbers"),
        ((branching, Y0, "now"), TypeError, "t must be a tensor of times, a number or None, got str"),
        ((branching, Y0, torch.tensor([0.0, 0.0])), ValueError, "t must be strictly"),
    ],
)
def test_bad_arguments(arguments: Any, error: type[Exception], named: str) -> None:
    with pytest.raises(error, match=named):
        explain(*arguments)


def test_adjoint_is_true_or_false() -> None:
    with pytest.raises(TypeError, match="adjoint must be True or False, got str"):
        explain(Field(), Y0, adjoint="yes")  # type: ignore[arg-type]


def test_two_trajectories_of_a_large_field_need_no_warning() -> None:
    net = nn.Sequential(nn.Linear(300, 300), nn.Tanh(), nn.Linear(300, 300))

    def large(t: Tensor, y: Tensor) -> Tensor:
        return net(y)

    y0 = torch.ones(2, 300)
    assert "plain torch is faster" in explain(large, y0).declined["native"]
    # One lane of sixteen idles in the last of two tiles.
    assert explain(large, torch.ones(31, 300)).engine == "native"
    assert explain(large, torch.ones(17, 300)).engine == "eager"
    # The features of one by itself fill the lanes, while its weights stay in the caches.
    assert explain(large, y0[:1]).engine == "native"
    larger = nn.Linear(1500, 1500)
    declined = explain(lambda t, y: torch.tanh(larger(y)), torch.ones(1, 1500)).declined["native"]
    assert "large enough for plain torch to be faster" in declined
    # Where it warned, pytest would raise.
    flashode.odeint(large, y0, torch.linspace(0, 1, 2), method="euler")


def test_without_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return -y

    def deceived(*arguments: Any) -> Any:
        return torch.neg(evaluated(*arguments))

    evaluated: Any = making.evaluated
    monkeypatch.setattr(making, "evaluated", deceived)
    explanation = explain(field, Y0, verify="never")
    assert explanation.engine == "native"
    assert explanation.program is not None
    # Nothing that this found stands in the way of the same again.
    assert explain(field, Y0, verify="never").engine == "native"
    assert "differs" in explain(field, Y0).declined["native"]


def test_under_a_transform() -> None:
    def solved(y: Tensor) -> Tensor:
        assert "transform" in explain(branching, y).declined["native"]
        return y.sum()

    torch.func.grad(solved)(Y0)


def test_places_are_the_function_s_own() -> None:
    def switching(t: Tensor, y: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return -y

    explanation = explain(switching, Y0)
    assert "it leaves gradients switched off" in str(explanation)
    assert __file__ not in explanation.declined["native"]


def test_an_error_at_another_batch_size_is_said_to_be_one() -> None:
    def particular(t: Tensor, y: Tensor) -> Tensor:
        if len(y) != 20:
            raise ValueError("twenty at a time")
        return y if float(y.sum()) > 0 else -y

    def sized(t: Tensor, y: Tensor) -> Tensor:
        if len(y) != 20:
            raise ValueError("twenty at a time")
        return torch.fft.fft(y).real

    explanation = explain(sized, Y0)
    assert explanation.error is None
    first = explanation.reasons["native"][0]
    assert first.what == "it works for a batch of 20 alone"
    assert first.where == (__file__, sized.__code__.co_firstlineno + 2)
    assert "Python number" in explain(particular, Y0).reasons["native"][0].what


def test_articles() -> None:
    import itertools

    class Counting:
        def __init__(self) -> None:
            self.it = itertools.count()

        def __call__(self, t: Tensor, y: Tensor) -> Tensor:
            return y * next(self.it)

    assert "is an itertools.count" in explain(Counting(), Y0).declined["native"]


def test_explanations_can_be_kept_in_sets() -> None:
    explanation = explain(Field(), Y0)
    assert explanation in {explanation, explain(Field(), Y0)}


def test_under_other_grad_modes() -> None:
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            explanation = explain(Field(), Y0.clone())
            assert (explanation.engine, explanation.error) == ("native", None)
            assert explain(branching, Y0.clone()).error is None


@pytest.mark.parametrize("func", [Field(), branching, mixing], ids=["captured", "declined", "mixing"])
def test_it_is_what_a_solve_does(func: Any) -> None:
    explanation = explain(func, Y0)
    with use_engine("native"):
        if explanation.engine == "native":
            flashode.odeint(func, Y0, torch.linspace(0, 1, 3))
        else:
            with pytest.raises(EngineDeclined, match="because") as caught:
                flashode.odeint(func, Y0, torch.linspace(0, 1, 3))
            assert explanation.declined["native"] in str(caught.value)
