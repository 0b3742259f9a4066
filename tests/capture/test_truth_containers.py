"""Captures that read their numbers from containers and small objects follow them, and put them back."""

import dataclasses
import functools
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from capture.agreement import T, Y, declined, true

Field = Callable[[Any, Any], Any]


class Rates(NamedTuple):
    growth: float
    decay: float = 0.5

    def net(self) -> float:
        return self.growth - self.decay


@dataclasses.dataclass(slots=True)
class Slotted:
    rate: float = 2.0
    shift: float = 1.0


@dataclasses.dataclass(slots=True, frozen=True)
class Frozen:
    rate: float = 2.0


class Partly(Slotted):
    """Slots and a dictionary."""

    gain: float


class Lazy:
    def __init__(self, rate: float) -> None:
        self.rate = rate

    @functools.cached_property
    def doubled(self) -> float:
        return 2 * self.rate


def follows(field: Field, *changes: Callable[[], object]) -> None:
    """The field is captured, and again, differently, after each change."""
    true(field)
    for change in changes:
        before = field(T, Y)
        change()
        assert not torch.equal(field(T, Y), before)
        true(field)


class Box:
    rates: Any


def test_named_tuples(monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box()
    box.rates = Rates(2.0)
    follows(
        lambda t, y: y * box.rates.growth - box.rates.net() * box.rates[1],
        lambda: setattr(box, "rates", Rates(3.0)),
        lambda: setattr(box, "rates", box.rates._replace(decay=0.25)),
        lambda: monkeypatch.setattr(Rates, "net", lambda self: -1.0),
    )


def test_a_named_tuple_of_another_class() -> None:
    class Other(NamedTuple):
        decay: float
        growth: float

    box = Box()
    box.rates = Rates(2.0, 3.0)
    follows(lambda t, y: y * box.rates.growth, lambda: setattr(box, "rates", Other(2.0, 3.0)))


def test_objects_whose_attributes_run_code_are_declined() -> None:
    read = []

    class Spying:
        rate = 2.0

        def __getattribute__(self, name: str) -> Any:
            read.append(name)
            return object.__getattribute__(self, name)

    class Doubling(NamedTuple):
        rate: float

        def __getitem__(self, index: Any) -> Any:
            read.append(index)
            return 2.0

    for box in (Spying(), Doubling(1.0)):
        declined(lambda t, y, box=box: y * box.rate)
        declined(lambda t, y, box=box: y * box.rate)
    assert read == []


def test_slots() -> None:
    box = Slotted()
    follows(
        lambda t, y: y * box.rate + box.shift,
        lambda: setattr(box, "rate", 3.0),
        lambda: setattr(box, "shift", 3.0),
    )
    frozen = Frozen()
    follows(lambda t, y: y * frozen.rate, lambda: object.__setattr__(frozen, "rate", 3.0))


def test_slots_beside_a_dictionary() -> None:
    box = Partly()
    box.gain = 2.0
    follows(
        lambda t, y: y * box.rate * box.gain,
        lambda: setattr(box, "rate", 3.0),
        lambda: setattr(box, "gain", 3.0),
    )


def test_slots_by_reflection() -> None:
    box = Slotted()
    follows(lambda t, y: y * sum(dataclasses.astuple(box)), lambda: setattr(box, "shift", 3.0))


def test_an_empty_slot_is_declined() -> None:
    class Late:
        __slots__ = ("rate",)

    late = Late()

    def field(t: Tensor, y: Tensor) -> Tensor:
        try:
            return y * late.rate  # type: ignore[attr-defined, no-any-return]
        except AttributeError:
            return y

    assert "no value yet" in declined(field)


def test_namespaces() -> None:
    box = types.SimpleNamespace(rate=2.0)
    follows(
        lambda t, y: y * box.rate + getattr(box, "shift", 0.0),
        lambda: setattr(box, "rate", 3.0),
        lambda: setattr(box, "shift", 3.0),
        lambda: delattr(box, "shift"),
    )


def test_a_namespace_is_more_than_what_is_named() -> None:
    box, other = types.SimpleNamespace(rate=2.0), types.SimpleNamespace(rate=2.0)
    follows(lambda t, y: y if box == other else -y, lambda: setattr(box, "extra", 1.0))


def test_ordered_and_default_tables() -> None:
    ordered = OrderedDict(a=2.0, b=3.0)

    def folded(t: Tensor, y: Tensor) -> Tensor:
        for key, rate in ordered.items():
            y = y * rate if key == "a" else y + rate
        return y

    follows(
        folded,
        lambda: ordered.update(a=5.0),
        lambda: ordered.move_to_end("a"),
        lambda: ordered.update(c=1.0),
    )
    table = defaultdict(lambda: 1.0, rate=2.0)
    follows(
        lambda t, y: y * table["rate"] * len(table),
        lambda: table.update(rate=3.0),
        lambda: table["other"],
    )


def test_what_a_default_table_makes() -> None:
    table = defaultdict(lambda: 1.0, rate=2.0)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * table["absent"]

    assert "table" in declined(field)
    assert dict(table) == {"rate": 2.0}


def test_an_ordered_table_with_attributes_is_declined() -> None:
    table = OrderedDict(rate=2.0)
    field: Field = lambda t, y: y * table["rate"] * getattr(table, "gain", 1.0)  # noqa: E731
    true(field)
    table.gain = 2.0  # type: ignore[attr-defined]
    assert "with attributes" in declined(field)


def test_reordering_is_undone() -> None:
    table = {"a": 1.0, "b": 2.0}

    def field(t: Tensor, y: Tensor) -> Tensor:
        table["a"] = table.pop("a")
        return y

    assert "it changes" in declined(field)
    assert list(table) == ["a", "b"]


def test_arrays() -> None:
    rates = np.array([[1.0, 2.0], [3.0, 4.0]])
    box = Box()
    box.rates = rates
    follows(
        lambda t, y: y * float(box.rates[0, 1]) + float(box.rates.sum()),
        lambda: rates.__setitem__((1, 1), 7.0),
        lambda: setattr(box, "rates", rates.astype(np.float32) + 1),
        lambda: setattr(box, "rates", np.arange(4.0).reshape(2, 2)),
        lambda: setattr(box, "rates", box.rates.T),
    )


def test_an_array_as_a_tensor() -> None:
    rates = np.array([1.0, 2.0, 3.0], np.float32)
    follows(lambda t, y: y * torch.tensor(rates), lambda: rates.__setitem__(0, 5.0))
    field: Field = lambda t, y: y * torch.from_numpy(rates)  # noqa: E731
    follows(field, lambda: rates.__setitem__(0, 7.0))


@pytest.mark.parametrize("array", [np.zeros(5000), np.array([Rates], object), np.array(["a"])])
def test_arrays_that_are_not_watched(array: "np.ndarray[Any, Any]") -> None:
    assert "numpy.ndarray" in declined(lambda t, y: y * len(array))


def test_an_array_that_is_written() -> None:
    rates = np.ones(3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        rates[0] += 1
        return y * float(rates[1])

    assert "it changes" in declined(field)
    assert rates[0] == 1


def test_slots_and_namespaces_are_put_back() -> None:
    slotted, space, table = Slotted(), types.SimpleNamespace(last=None), OrderedDict(last=0.0)

    def writing_slots(t: Tensor, y: Tensor) -> Tensor:
        slotted.shift = slotted.shift + 0.5
        return y

    def writing_space(t: Tensor, y: Tensor) -> Tensor:
        space.last = y
        return y

    def writing_table(t: Tensor, y: Tensor) -> Tensor:
        table["more"] = 1.0
        return y

    for field in (writing_slots, writing_space, writing_table):
        assert "it changes" in declined(field)
    assert (slotted.shift, space.last, dict(table)) == (1.0, None, {"last": 0.0})


def test_cached_properties() -> None:
    lazy = Lazy(2.0)
    field: Field = lambda t, y: y * lazy.doubled  # noqa: E731
    assert "doubled" in declined(field)
    assert "doubled" not in lazy.__dict__
    field(T, Y)
    true(field)
    # What is cached stays, whatever it was computed from.
    lazy.rate = 5.0
    true(field)
    follows(field, lambda: delattr(lazy, "doubled") or field(T, Y))
    follows(field, lambda: setattr(lazy, "doubled", 1.0))


def test_objects_that_code_tells_apart() -> None:
    first, second = Box(), Box()
    first.rates = second.rates = 2.0
    box = Box()
    box.rates = first

    def by_identity(t: Tensor, y: Tensor) -> Tensor:
        return y if box.rates is second else -y

    def by_equality(t: Tensor, y: Tensor) -> Tensor:
        return y if box.rates == second else -y

    def by_membership(t: Tensor, y: Tensor) -> Tensor:
        return y if box.rates in [second] else -y

    def by_id(t: Tensor, y: Tensor) -> Tensor:
        return y if id(box.rates) == id(second) else -y

    for field in (by_identity, by_equality, by_membership, by_id):
        box.rates = first
        follows(field, lambda: setattr(box, "rates", second))


def test_layers_that_code_tells_apart() -> None:
    layers = [torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)]

    def field(t: Tensor, y: Tensor) -> Tensor:
        for layer in layers:
            y = layer(y) if layer is layers[-1] else torch.tanh(layer(y))
        return y

    follows(field, lambda: layers.__setitem__(0, layers[1]))


def test_the_order_of_a_set() -> None:
    box = Box()
    box.rates = {8, 0}
    field: Field = lambda t, y: y * functools.reduce(lambda a, b: 2 * a + b, box.rates)  # noqa: E731
    true(field)
    other = {0, 8}
    assert list(other) != list(box.rates)
    box.rates = other
    true(field)


def test_equal_numbers_of_another_kind_in_a_set() -> None:
    box = Box()
    box.rates = {0.0, 1}
    field: Field = lambda t, y: y * len(str(box.rates))  # noqa: E731
    true(field)
    box.rates = {0.0, True}
    true(field)


def test_the_order_of_attributes() -> None:
    box: Any = Box()
    box.rates, box.rest = 2.0, 3.0
    field: Field = lambda t, y: y * functools.reduce(lambda a, b: a - b, vars(box).values())  # noqa: E731
    true(field)
    del box.rates
    box.rates = 2.0
    true(field)


@dataclasses.dataclass
class MadeAfresh:
    gain: float = 2.0
    rates: list[float] = dataclasses.field(default_factory=lambda: [1.0, 3.0])


def test_a_dataclass_with_a_list_of_its_own() -> None:
    true(lambda t, y: y * MadeAfresh(3.0).rates[1])
