"""What torch's own code takes from its modules and classes, where a user may put something else."""

import contextlib
import enum
import gc
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import Y, declined
from capture.following import Case, Field, agrees_now, follows, held
from flashode import odeint_adjoint

TRIPLED: list[tuple[Field | nn.Module, Any, str]] = [
    (nn.Linear(3, 3), F, "linear"),
    (nn.Sequential(nn.Linear(3, 3), nn.Tanh()), torch, "tanh"),
    (nn.Sequential(nn.Linear(3, 3)), F, "linear"),
    (nn.ReLU(), F, "relu"),
    (nn.ReLU(), torch, "relu"),
    (nn.GELU(), F, "gelu"),
    (nn.SiLU(), F, "silu"),
    (nn.Softplus(), F, "softplus"),
    (nn.Softmax(-1), F, "softmax"),
    (nn.LayerNorm(3), F, "layer_norm"),
    (nn.LayerNorm(3), torch, "layer_norm"),
    (F.relu, torch, "relu"),
    (lambda y: F.softmax(y, -1), Tensor, "softmax"),
    (lambda y: -y, Tensor, "__neg__"),
    (lambda y: abs(y), Tensor, "__abs__"),
    (lambda y: 1.0 - y, Tensor, "__rsub__"),
    (lambda y: torch.where(y > 0, y, -y), torch, "where"),
    (lambda y: y**2, Tensor, "__pow__"),
]


def tripled(function: Any) -> Any:
    return lambda *arguments, **named: torch.mul(function(*arguments, **named), 3.0)


@pytest.mark.parametrize(("act", "space", "name"), TRIPLED)
def test_what_torch_calls_may_be_replaced(act: Any, space: Any, name: str) -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return y + act(y)  # type: ignore[no-any-return]

    assert agrees_now(func)
    with held(space, name, tripled(getattr(space, name))):
        agrees_now(func)
    assert agrees_now(func)


class Listed(nn.Module):
    """A field that takes its layers from one of torch's containers."""

    def __init__(self, of: Callable[..., nn.Module], take: Callable[[Any], Any]) -> None:
        super().__init__()
        self.layers = of([nn.Tanh(), nn.Sigmoid()])
        self.take = take

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        for layer in self.take(self.layers):
            y = layer(y)
        return y


def in_sequence(layers: list[nn.Module]) -> nn.Module:
    return nn.Sequential(*layers)


def through(layers: Any) -> Any:
    return [layers]


CONTAINERS: list[tuple[Any, Any, str, Any]] = [
    (nn.ModuleList, iter, "__iter__", lambda self: iter([nn.ReLU()])),
    (nn.ModuleList, list, "__iter__", lambda self: iter([nn.ReLU()])),
    (nn.ModuleList, lambda layers: [*layers], "__iter__", lambda self: iter([nn.ReLU()])),
    (nn.ModuleList, lambda layers: [layers[0]], "__getitem__", lambda self, place: nn.ReLU()),
    (nn.ModuleList, lambda layers: layers[: len(layers)], "__len__", lambda self: 1),
    (nn.Sequential, through, "__iter__", lambda self: iter([nn.ReLU()])),
    (nn.Sequential, through, "__call__", lambda self, y: -y),
    (nn.Sequential, lambda layers: [layers[0]], "__getitem__", lambda self, place: nn.ReLU()),
]


@pytest.mark.parametrize(("kind", "take", "name", "other"), CONTAINERS)
def test_special_methods_of_containers(kind: Any, take: Any, name: str, other: Any) -> None:
    func = Listed(in_sequence if kind is nn.Sequential else kind, take)
    agrees_now(func)
    with held(kind, name, other):
        agrees_now(func)
    agrees_now(func)


@pytest.mark.parametrize("kind", [nn.Linear, nn.Module, Tensor])
def test_as_many_attributes_as_before(kind: Any) -> None:
    layer = nn.Linear(3, 3)

    def func(t: Tensor, y: Tensor) -> Tensor:
        return layer(y) + y * getattr(y, "rate", 1.0) * getattr(layer, "rate", 1.0)

    with held(kind, "unread", 1.0):
        assert agrees_now(func)
    with held(kind, "rate", 3.0):
        agrees_now(func)


WORDS = ["my", "rate"]
TOGETHER: list[tuple[Field, Any, Any, Any]] = [
    (lambda t, y: y * getattr(torch, "_".join(WORDS)), torch, 1.0, 3.0),
    (lambda t, y: getattr(F, "_".join(WORDS))(y), F, lambda y: y, lambda y: 3 * y),
]


@pytest.mark.parametrize(("func", "space", "first", "second"), TOGETHER)
def test_names_that_are_put_together(func: Field, space: Any, first: Any, second: Any) -> None:
    with held(space, "my_rate", first):
        assert agrees_now(func)
        with held(space, "my_rate", second):
            agrees_now(func)


class Computing(types.ModuleType):
    @property
    def rate(self) -> float:
        return 3.0


def of_module(module: types.ModuleType) -> Field:
    space: dict[str, Any] = {"settings": module}
    exec("def func(t, y): return y * settings.rate", space)
    func: Field = space["func"]
    return func


def test_a_module_of_another_class() -> None:
    module = types.ModuleType("settings")
    module.rate = 1.0  # type: ignore[attr-defined]
    assert follows(Case(of_module(module), lambda: setattr(module, "__class__", Computing)))


def test_what_a_module_computes() -> None:
    module = types.ModuleType("settings")
    module.__getattr__ = lambda name: 2.0  # type: ignore[method-assign]
    assert "computed by its module" in declined(of_module(module))
    assert "computed by its module" in declined(of_module(Computing("settings")))


def test_a_cache_of_parametrizations() -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))

    def func(t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = layer(y)
        return out

    assert agrees_now(func)
    with nn.utils.parametrize.cached():
        agrees_now(func)
        with torch.no_grad():
            layer.parametrizations.weight.original0.mul_(2.0)
        agrees_now(func)
    assert agrees_now(func)


@pytest.mark.filterwarnings("ignore::flashode.FallbackWarning")
@pytest.mark.parametrize("cached_first", [False, True])
def test_a_cache_that_is_on_for_only_one_pass(cached_first: bool) -> None:
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
    passes = [nn.utils.parametrize.cached(), contextlib.nullcontext()]
    with passes[0 if cached_first else 1]:
        end = odeint_adjoint(Calling(layer), Y, torch.linspace(0, 1, 3), method="rk4")[-1]
    with passes[1 if cached_first else 0]:
        end.sum().backward()
    assert layer.parametrizations.weight.original0.grad is not None


class Calling(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.layer(y)
        return out


def test_asking_whether_a_compiler_is_at_work() -> None:
    def func(t: Tensor, y: Tensor) -> Tensor:
        return y if torch.compiler.is_compiling() else 2 * y

    assert agrees_now(func)


def test_an_enum_made_in_a_function_can_go() -> None:
    def used() -> weakref.ref[Any]:
        class Kind(enum.Enum):
            A = "a"
            B = "b"

        held_by = types.SimpleNamespace(kind=Kind.A)
        func = lambda t, y: y * (1.0 if held_by.kind is Kind.A else 3.0)  # noqa: E731
        assert follows(Case(func, lambda: setattr(held_by, "kind", Kind.B)))
        return weakref.ref(Kind)

    kind = used()
    gc.collect()
    assert kind() is None
