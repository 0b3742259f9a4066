"""Whatever a field counts its evaluations in, and however it comes to that: as many as torchdiffeq makes."""

import builtins
import collections
import functools
import itertools
import math
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchdiffeq
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import flashode
from capture.agreement import Y
from flashode.errors import FallbackWarning
from sampling import sampled

T = torch.linspace(0, 1, 3)
Step = Callable[[Tensor], Tensor]


class Slotted:
    __slots__ = ("n",)


class Setting:
    _n = 0

    @property
    def n(self) -> int:
        return self._n

    @n.setter
    def n(self, value: int) -> None:
        self._n = value


def function() -> None:
    pass


# What has the count as an attribute.
HOLDERS: dict[str, Callable[[], Any]] = {
    "object": lambda: type("Kind", (), {})(),
    "class": lambda: type("Kind", (), {}),
    "slots": Slotted,
    "property": Setting,
    "namespace": types.SimpleNamespace,
    "function": lambda: types.FunctionType(function.__code__, globals()),
    "wrapper": lambda: torch.no_grad()(lambda y: y),
    "partial": lambda: functools.partial(torch.mul, other=1.0),
    "module": nn.Identity,
    "layer": lambda: nn.Linear(3, 3),
    "parameter": lambda: nn.Parameter(torch.ones(())),
    "tensor": lambda: torch.ones(()),
    "class of layers": lambda: nn.Linear,
    "class of modules": lambda: nn.Module,
    "class of tensors": lambda: Tensor,
    "module of torch's": lambda: torch.nn.functional,
    "module of C": lambda: math,
    "builtins": lambda: builtins,
}
# Tried in every way; of the others a part is.
USUAL = ("object", "function", "partial", "module of torch's")
# What has the count as an item.
TABLES: dict[str, Callable[[], Any]] = {
    "list": lambda: [0],
    "table": lambda: {0: 0},
    "array": lambda: np.zeros(1, int),
    "counter": collections.Counter,
    "queue": lambda: collections.deque([0]),
}


def plain(step: Step) -> Step:
    return step


def within(step: Step) -> Step:
    return lambda y: step(y)


def without_gradients(step: Step) -> Step:
    act = torch.no_grad()(step)
    return lambda y: y + act(y)


def with_gradients(step: Step) -> Step:
    return torch.enable_grad()(step)  # type: ignore[no-any-return]


def by_a_partial(step: Step) -> Step:
    return functools.partial(lambda act, y: act(y), step)


def by_a_map(step: Step) -> Step:
    return lambda y: next(iter(list(map(step, [y]))))


def by_reduction(step: Step) -> Step:
    return lambda y: functools.reduce(lambda a, b: step(b), [y, y])


def at_a_checkpoint(step: Step) -> Step:
    return lambda y: checkpoint(step, y, use_reentrant=False)  # type: ignore[no-any-return]


def vectorised(step: Step) -> Step:
    return lambda y: torch.func.vmap(step)(y)


def differentiated(step: Step) -> Step:
    return lambda y: torch.func.vjp(step, y)[1](y)[0]  # type: ignore[no-any-return]


def as_a_method_of_tensors(step: Step) -> Step:
    Tensor.flashode_step = step  # type: ignore[attr-defined]
    return lambda y: y.flashode_step()  # type: ignore[attr-defined,no-any-return]


def as_a_function_of_torchs(step: Step) -> Step:
    torch.nn.functional.flashode_step = step  # type: ignore[attr-defined]
    return lambda y: torch.nn.functional.flashode_step(y)  # type: ignore[attr-defined,no-any-return]


def in_a_layer(step: Step) -> Step:
    class Layer(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return step(y)

    return nn.Sequential(Layer())


def in_a_parametrization(step: Step) -> Step:
    class Half(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return step(weight)

    layer = nn.utils.parametrize.register_parametrization(nn.Linear(3, 3), "weight", Half())
    return lambda y: layer(y)  # type: ignore[no-any-return]


def in_a_function_of_its_own(step: Step) -> Step:
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, y: Tensor) -> Tensor:
            return step(y)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient

    return lambda y: Own.apply(y)  # type: ignore[no-untyped-call,no-any-return]


WAYS = [
    plain,
    within,
    without_gradients,
    with_gradients,
    by_a_partial,
    by_a_map,
    by_reduction,
    at_a_checkpoint,
    vectorised,
    differentiated,
    as_a_method_of_tensors,
    as_a_function_of_torchs,
    in_a_layer,
    in_a_parametrization,
    in_a_function_of_its_own,
]


@pytest.fixture(autouse=True)
def _as_it_was() -> Any:
    yield
    for space in (Tensor, torch.nn.functional):
        for name in ("flashode_step", "n"):
            if name in space.__dict__:
                delattr(space, name)
    for space in (nn.Linear, nn.Module, math, builtins):
        if "n" in space.__dict__:
            delattr(space, "n")


def counted(solve: Any, func: Any, read: Callable[[], int]) -> int:
    """By how much a solve raises a count."""
    before = read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FallbackWarning)
        solve(func, Y, T, method="rk4")
    return read() - before


def compared(func: Any, read: Callable[[], int]) -> None:
    """The first solve, which captures, and the next."""
    first = counted(flashode.odeint, func, read)
    second = counted(flashode.odeint, func, read)
    assert first == second == counted(torchdiffeq.odeint, func, read) > 0


@pytest.mark.parametrize("way", WAYS)
def test_an_attribute(way: Callable[[Step], Step]) -> None:
    for name in dict.fromkeys([*USUAL, *sampled(HOLDERS, 4, way.__name__)]):
        holder = HOLDERS[name]()
        holder.n = 0

        def step(y: Tensor, holder: Any = holder) -> Tensor:
            holder.n += 1
            return 0.5 * y

        act = way(step)
        compared(lambda t, y, act=act: act(y), lambda holder=holder: holder.n)  # type: ignore[misc]


@pytest.mark.parametrize("way", WAYS)
def test_an_item(way: Callable[[Step], Step]) -> None:
    for name in sampled(TABLES, 2, way.__name__):
        table = TABLES[name]()

        def step(y: Tensor, table: Any = table) -> Tensor:
            table[0] += 1
            return 0.5 * y

        act = way(step)
        compared(lambda t, y, act=act: act(y), lambda table=table: int(table[0]))  # type: ignore[misc]


@pytest.mark.parametrize("way", WAYS)
def test_a_variable(way: Callable[[Step], Step]) -> None:
    count = 0

    def step(y: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return 0.5 * y

    act = way(step)
    compared(lambda t, y: act(y), lambda: count)


@pytest.mark.parametrize("way", WAYS)
def test_an_iterator(way: Callable[[Step], Step]) -> None:
    count = itertools.count()

    def step(y: Tensor) -> Tensor:
        next(count)
        return 0.5 * y

    act = way(step)
    compared(lambda t, y: act(y), lambda: int(count.__reduce__()[1][0]))
