"""What code reaches without naming it: captured and watched, or declined."""

import dataclasses
import enum
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import T, Y, captured_at, true
from flashode.capture import Capture

RATE = 2.0
Field = Callable[[Any, Any], Any]


def never_differs(func: Field) -> None:
    """A capture, if there is one, agrees with the function as it is now."""
    if isinstance(captured_at(func, T, Y), Capture):
        true(func)


def follows(func: Field, change: Callable[[], object]) -> None:
    before = func(T, Y)
    never_differs(func)
    change()
    assert not torch.equal(func(T, Y), before)
    never_differs(func)


@pytest.fixture
def rate(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Changes the global."""
    monkeypatch.setitem(globals(), "RATE", 2.0)
    return lambda: monkeypatch.setitem(globals(), "RATE", 5.0)


class Reflecting(nn.Module):
    scale = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.kind = "slow"

    def rate_slow(self) -> float:
        return self.scale * RATE

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        rate: float = getattr(self, f"rate_{self.kind}")()
        return y * rate


def test_methods_reached_by_getattr(rate: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    net = Reflecting()
    true(net)
    follows(net, rate)
    follows(net, lambda: monkeypatch.setattr(Reflecting, "scale", 7.0))
    follows(net, lambda: monkeypatch.setattr(Reflecting, "rate_slow", lambda self: -1.0))


def test_constructors(rate: Callable[[], None]) -> None:
    class Made:
        def __init__(self) -> None:
            self.rate = RATE

    follows(lambda t, y: y * Made().rate, rate)


def test_constructors_reached_from_an_instance(rate: Callable[[], None]) -> None:
    class Made:
        def __init__(self) -> None:
            self.rate = RATE

    instance = Made()
    follows(lambda t, y: y * type(instance)().rate, rate)


class Named:
    def __init__(self) -> None:
        self.name = "tanh"

    def __str__(self) -> str:
        return self.name


@pytest.mark.parametrize("spelled", [str, lambda x: f"{x}", lambda x: "%s" % x, lambda x: "{}".format(x)])  # noqa: UP031, UP032
def test_formatting(spelled: Callable[[Any], str]) -> None:
    named = Named()
    follows(
        lambda t, y: torch.tanh(y) if spelled(named) == "tanh" else -y,
        lambda: setattr(named, "name", "other"),
    )


class Behaving(enum.Enum):
    SLOW = "slow"

    def __call__(self, x: Tensor) -> Tensor:
        return x * RATE


class Plain(enum.Enum):
    SLOW = "slow"
    FAST = "fast"


class Gain(float):
    rate: float

    def applied(self, x: Tensor) -> Tensor:
        return x * self.rate


def test_enums(rate: Callable[[], None]) -> None:
    kind = Behaving.SLOW
    follows(lambda t, y: kind(y), rate)
    plain = Plain.SLOW
    true(lambda t, y: y * 2 if plain is Plain.SLOW else y)


def test_subclasses_of_numbers() -> None:
    gain = Gain(1.0)
    gain.rate = 2.0
    follows(lambda t, y: gain.applied(y), lambda: setattr(gain, "rate", 5.0))


def test_properties_that_trusted_code_reads(rate: Callable[[], None]) -> None:
    class Leak(nn.LeakyReLU):
        negative_slope = property(lambda self: RATE, lambda self, value: None)  # type: ignore[assignment]

    leak = Leak()
    follows(lambda t, y: leak(y - 1), rate)


@pytest.mark.parametrize("function", [dataclasses.astuple, lambda box: dataclasses.asdict(box).values()])
def test_dataclass_functions(function: Callable[[Any], Any]) -> None:
    @dataclasses.dataclass(eq=False)
    class Box:
        a: float = 1.0
        b: float = 2.0

    box = Box()
    follows(lambda t, y: y * sum(function(box)), lambda: setattr(box, "b", 7.0))


def test_wrapped_functions(rate: Callable[[], None]) -> None:
    def original(t: Tensor, y: Tensor) -> Tensor:
        return y * RATE

    @functools.wraps(original)
    def other(t: Tensor, y: Tensor) -> Tensor:
        return y * 0

    follows(lambda t, y: other.__wrapped__(t, y), rate)


def test_attributes_of_tensors() -> None:
    weight = torch.ones(3)
    weight.gain = 2.0  # type: ignore[attr-defined]
    field: Field = lambda t, y: y * weight * weight.gain  # type: ignore[attr-defined]  # noqa: E731
    true(field)
    follows(field, lambda: setattr(weight, "gain", 5.0))


@pytest.mark.parametrize("caught", [False, True])
def test_attributes_that_tensors_get_later(caught: bool) -> None:
    weight = torch.ones(3)

    def trying(t: Tensor, y: Tensor) -> Tensor:
        try:
            return y * weight.gain  # type: ignore[attr-defined, no-any-return]
        except AttributeError:
            return y

    def asking(t: Tensor, y: Tensor) -> Tensor:
        return y * getattr(weight, "gain", 1.0)

    field = trying if caught else asking
    true(field)
    follows(field, lambda: setattr(weight, "gain", 5.0))


def test_replaced_functions_of_torch(monkeypatch: pytest.MonkeyPatch, rate: Callable[[], None]) -> None:
    field: Field = lambda t, y: F.softplus(y) + torch.nn.functional.relu(y)  # noqa: E731
    true(field)
    follows(field, lambda: monkeypatch.setattr(F, "softplus", lambda x: x * RATE))
    follows(field, rate)
    follows(field, lambda: monkeypatch.setattr(F, "relu", torch.tanh))


def test_the_class_of_super_is_no_call_of_it() -> None:
    class Base(nn.Module):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * 2

    class Derived(Base):
        def __init__(self) -> None:
            super().__init__()
            print(end="")

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return super().forward(t, y)

    true(Derived())
