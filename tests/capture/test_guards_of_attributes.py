"""Whatever stands in a class, on an object or in a module, and whatever takes its place."""

import builtins
import functools
import itertools
import math
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from capture.following import Case, Field, follows, held
from sampling import sampled

SLOW, FAST = 1.0, 3.0


class Holder:
    rate = SLOW

    def __init__(self, rate: float) -> None:
        self.rate = rate


class Getting:
    """A descriptor, by itself or with a value of its own."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return lambda *arguments: self.rate


class Setting(Getting):
    def __set__(self, owner: Any, value: Any) -> None:
        raise AttributeError


class Calling:
    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, *arguments: Any) -> float:
        return self.rate + 0.5 * len(arguments)


class Property(property):
    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return lambda *arguments: 7.0


class Static(staticmethod):  # type: ignore[type-arg]
    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return lambda *arguments: 8.0


def counting(*arguments: Any) -> float:
    """Tells how it was bound."""
    return SLOW + 0.5 * len(arguments)


def rate_of(*arguments: Any) -> float:
    return float(getattr(arguments[0], "rate", 9.0)) if arguments else 2.0


def returning(rate: float) -> Callable[..., float]:
    return lambda *arguments: rate


def wrapped(rate: float) -> Callable[..., float]:
    return torch.no_grad()(returning(rate))  # type: ignore[no-any-return]


# What may stand under a name. Each gives a number when it is taken and called without arguments.
KINDS: dict[str, Callable[[], Any]] = {
    "function": lambda: counting,
    "another function": lambda: returning(FAST),
    "function of the object": lambda: rate_of,
    "bound method": lambda: types.MethodType(counting, Holder(SLOW)),
    "bound method of another": lambda: types.MethodType(rate_of, Holder(FAST)),
    "static method": lambda: staticmethod(counting),
    "class method": lambda: classmethod(counting),
    "static method of its own": lambda: Static(counting),
    "property": lambda: property(lambda self: counting),
    "property of its own": lambda: Property(lambda self: counting),
    "cached property": lambda: functools.cached_property(lambda self: counting),
    "descriptor": lambda: Getting(SLOW),
    "descriptor of another rate": lambda: Getting(FAST),
    "data descriptor": lambda: Setting(4.0),
    "callable object": lambda: Calling(SLOW),
    "callable object of another rate": lambda: Calling(FAST),
    "partial": lambda: functools.partial(counting, 1),
    "partial with more": lambda: functools.partial(counting, 1, 2),
    "partial method": lambda: functools.partialmethod(counting, 1),
    "wrapper": lambda: wrapped(SLOW),
    "wrapper of another": lambda: wrapped(FAST),
    "class": lambda: type("Five", (float,), {"__new__": lambda *arguments: 5.0}),
    "builtin": lambda: float,
}


def on_a_class(value: Any) -> tuple[Any, Field]:
    kind = type("Kind", (), {"act": value, "rate": 6.0})
    user = kind()
    return kind, lambda t, y: y * user.act()


def on_a_base(value: Any) -> tuple[Any, Field]:
    base = type("Base", (), {"act": value})
    user = type("Kind", (base,), {"rate": 6.0})()
    return base, lambda t, y: y * user.act()


def on_the_class_itself(value: Any) -> tuple[Any, Field]:
    kind = type("Kind", (), {"act": value, "rate": 6.0})
    return kind, lambda t, y: y * kind.act()


def on_an_object(value: Any) -> tuple[Any, Field]:
    user = type("Kind", (), {"rate": 6.0})()
    user.act = value
    return user, lambda t, y: y * user.act()


def on_a_module_of_the_users(value: Any) -> tuple[Any, Field]:
    class Net(nn.Module):
        act = value
        rate = 6.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * self.act()  # type: ignore[no-any-return]

    return Net, Net()


def on_a_layer_of_torchs(value: Any) -> tuple[Any, Field]:
    layer = nn.Identity()
    return nn.Identity, lambda t, y: y * layer.act()  # type: ignore[operator]


def on_every_module(value: Any) -> tuple[Any, Field]:
    layer = nn.Identity()
    return nn.Module, lambda t, y: y * layer.act()  # type: ignore[operator]


def on_tensors(value: Any) -> tuple[Any, Field]:
    return Tensor, lambda t, y: y * y.act()


def on_parameters(value: Any) -> tuple[Any, Field]:
    weight = nn.Parameter(torch.ones(()))
    return nn.Parameter, lambda t, y: y * weight * weight.act()  # type: ignore[operator]


def in_a_module_of_torchs(value: Any) -> tuple[Any, Field]:
    return torch.nn.functional, lambda t, y: y * torch.nn.functional.act()  # type: ignore[attr-defined]


def in_a_module_held(value: Any) -> tuple[Any, Field]:
    holder = types.SimpleNamespace(f=torch.nn.functional)
    return torch.nn.functional, lambda t, y: y * holder.f.act()


def in_a_module_imported(value: Any) -> tuple[Any, Field]:
    def func(t: Tensor, y: Tensor) -> Tensor:
        import torch.nn.functional as within

        return y * within.act()  # type: ignore[attr-defined,no-any-return]

    return torch.nn.functional, func


def imported_by_name(value: Any) -> tuple[Any, Field]:
    def func(t: Tensor, y: Tensor) -> Tensor:
        from math import act  # type: ignore[attr-defined]

        return y * act()  # type: ignore[no-any-return]

    return math, func


def in_numpy(value: Any) -> tuple[Any, Field]:
    return np, lambda t, y: y * np.act()  # type: ignore[attr-defined]


def in_the_builtins(value: Any) -> tuple[Any, Field]:
    return builtins, lambda t, y: y * act()  # type: ignore[name-defined]  # noqa: F821


PLACES = [
    on_a_class,
    on_a_base,
    on_the_class_itself,
    on_an_object,
    on_a_module_of_the_users,
    on_a_layer_of_torchs,
    on_every_module,
    on_tensors,
    on_parameters,
    in_a_module_of_torchs,
    in_a_module_held,
    in_a_module_imported,
    imported_by_name,
    in_numpy,
    in_the_builtins,
]


@pytest.mark.parametrize("place", PLACES)
def test_what_takes_the_place_of_another(place: Callable[[Any], tuple[Any, Field]]) -> None:
    pairs = sampled(itertools.permutations(KINDS, 2), 32, place.__name__)
    captured = 0
    for first, second in pairs:
        value = KINDS[first]()
        space, func = place(value)
        with held(space, "act", value):
            captured += follows(Case(func, partial(setattr, space, "act", KINDS[second]())))
    # Most of them can be watched.
    assert 4 * captured > len(pairs)
