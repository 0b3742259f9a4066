"""Attributes that code asks for by strings, by patterns or by introspection, wherever they are."""

import builtins
import copy
import dataclasses
import enum
import inspect
import itertools
import operator
import pickle
import types
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import T, Y
from capture.following import Case, Field, agrees_now, follows
from sampling import sampled


class Plain:
    pass


class Slotted:
    __slots__ = ("rate",)


@dataclasses.dataclass
class Data:
    rate: float = 1.0


class Pair(NamedTuple):
    rate: float


class Kind(enum.Enum):
    SLOW = 1.0


class Asking:
    """Tells of its attributes in ways of its own."""

    def __getattr__(self, name: str) -> float:
        return float(self.__dict__["_" + name])

    def __setattr__(self, name: str, value: float) -> None:
        self.__dict__["_" + name] = value


def function() -> None:
    """1.0"""


# What may have a rate.
HOLDERS: dict[str, Callable[[], Any]] = {
    "object": Plain,
    "object with slots": Slotted,
    "data": Data,
    "namespace": lambda: types.SimpleNamespace(),
    "object that answers": Asking,
    "module": nn.Identity,
    "layer": lambda: nn.Linear(3, 3),
    "class": lambda: type("Made", (), {}),
    "class of an object": lambda: type("Made", (), {}),
    "function": lambda: types.FunctionType(function.__code__, globals()),
    "wrapper": lambda: torch.no_grad()(lambda y: y),
    "partial": lambda: partial(torch.mul, other=1.0),
    "method": lambda: type("Made", (), {"act": lambda self: self})().act.__func__,
    "module of torch's": lambda: torch.nn.functional,
    "builtins": lambda: builtins,
    "tensor": lambda: torch.ones(()),
    "parameter": lambda: nn.Parameter(torch.ones(())),
    "class of torch's": lambda: nn.Linear,
}


def caught(holder: Any) -> float:
    try:
        return holder.rate  # type: ignore[no-any-return]
    except AttributeError:
        return 2.0


def matched(holder: Any) -> float:
    match holder:
        case object(rate=rate):
            return rate  # type: ignore[no-any-return]
    return 2.0


def named() -> str:
    return "rate"


NAME = "rate"
TEXT = "{holder.rate}"
# How it may be asked for. Where an attribute is absent some give 2, the others raise.
WAYS: dict[str, Callable[[Any], float]] = {
    "name": lambda holder: holder.rate,  # type: ignore[no-any-return]
    "getattr": lambda holder: getattr(holder, "rate"),  # type: ignore[no-any-return]  # noqa: B009
    "getattr or else": lambda holder: getattr(holder, "rate", 2.0),
    "getattr of a global": lambda holder: getattr(holder, NAME),  # type: ignore[no-any-return]
    "getattr of a result": lambda holder: getattr(holder, named()),  # type: ignore[no-any-return]
    "getattr of parts": lambda holder: getattr(holder, "ra" + "te"),  # type: ignore[no-any-return]
    "hasattr": lambda holder: 1.5 if hasattr(holder, "rate") else 2.0,
    "vars": lambda holder: vars(holder).get("rate", 2.0),  # type: ignore[no-any-return]
    "dict": lambda holder: holder.__dict__["rate"],  # type: ignore[no-any-return]
    "dir": lambda holder: 1.5 if "rate" in dir(holder) else 2.0,
    "attrgetter": lambda holder: operator.attrgetter("rate")(holder),  # type: ignore[no-any-return]
    "getattribute": lambda holder: holder.__getattribute__("rate"),  # type: ignore[no-any-return]
    "getattribute of object": lambda holder: object.__getattribute__(holder, "rate"),  # type: ignore[no-any-return]
    "static": lambda holder: inspect.getattr_static(holder, "rate"),  # type: ignore[no-any-return]
    "format": lambda holder: float("{0.rate}".format(holder)),  # noqa: UP030, UP032
    "format of a global": lambda holder: float(TEXT.format(holder=holder)),
    "format_map": lambda holder: float("{a.rate}".format_map({"a": holder})),
    "format of a word": lambda holder: float(f"{holder.rate}"),
    "caught": caught,
    "matched": matched,
    "copied": lambda holder: copy.copy(holder).rate,  # type: ignore[no-any-return]
    "pickled": lambda holder: pickle.loads(pickle.dumps(holder)).rate,  # type: ignore[no-any-return]
    "reduced": lambda holder: holder.__reduce_ex__(2)[2]["rate"],  # type: ignore[no-any-return]
    "state": lambda holder: holder.__getstate__()["rate"],  # type: ignore[no-any-return]
    "members": lambda holder: dict(inspect.getmembers(holder)).get("rate", 2.0),
}


def closed_over(holder: Any, way: Callable[[Any], float]) -> Field:
    return lambda t, y: y * way(holder)


def by_default(holder: Any, way: Callable[[Any], float]) -> Field:
    return lambda t, y, holder=holder, way=way: y * way(holder)


def kept_by_a_module(holder: Any, way: Callable[[Any], float]) -> Field:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.holder, self.way = [holder], way

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * self.way(self.holder[0])

    return Net()


@pytest.mark.parametrize("holding", [closed_over, by_default, kept_by_a_module])
@pytest.mark.parametrize("absent", [False, True])
def test_an_attribute_that_is_asked_for(
    holding: Callable[[Any, Callable[[Any], float]], Field], absent: bool
) -> None:
    captured = 0
    pairs = sampled(itertools.product(HOLDERS, WAYS), 60, f"{holding.__name__} {absent}")
    for name, way in pairs:
        holder = HOLDERS[name]()
        asked = holder() if name == "class of an object" else holder
        func = holding(asked, WAYS[way])
        try:
            if not absent:
                setattr(holder, "rate", 1.0)  # noqa: B010
            try:
                func(T, Y)
            except Exception:
                # It cannot be asked so.
                assert not agrees_now(func)
                continue
            captured += follows(Case(func, partial(setattr, holder, "rate", 3.0)))
        finally:
            if "rate" in getattr(holder, "__dict__", {}) and not isinstance(holder, Asking):
                del holder.rate
    assert captured >= 5
