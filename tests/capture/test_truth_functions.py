"""A captured function stays true, whatever changes around it."""

import dataclasses
import functools
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import declined, true


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.rate = 2.0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.layer(y) * self.rate
        return out


RATE = 2.0
LAYER = nn.Linear(3, 3)
CONFIG = {"rates": [1.0, 2.0], "name": "tanh"}


def _drift(y: Tensor) -> Tensor:
    return y * RATE


def _with_globals(t: Tensor, y: Tensor) -> Tensor:
    return LAYER(_drift(y)) * CONFIG["rates"][1]


def test_globals_rebound() -> None:
    global RATE, LAYER, _drift
    kept_values = RATE, LAYER, _drift
    try:
        program = true(_with_globals).program
        LAYER = nn.Linear(3, 3)
        assert true(_with_globals).program is program
        RATE = 3.0
        true(_with_globals)
        _drift = torch.sin
        true(_with_globals)
        _drift = lambda y: -y  # noqa: E731
        true(_with_globals)
        CONFIG["rates"][1] = 5.0
        true(_with_globals)
    finally:
        RATE, LAYER, _drift = kept_values


def test_a_builtin_shadowed_by_a_global() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * max(2.0, 3.0)

    true(field)
    try:
        globals()["max"] = lambda a, b: a
        true(field)
    finally:
        del globals()["max"]


def test_closures_rebound() -> None:
    rate, shift = 2.0, torch.ones(3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * rate + shift

    program = true(field).program
    shift.add_(1)
    assert true(field).program is program
    shift = torch.zeros(3)
    assert true(field).program is program
    rate = 3.0
    assert true(field).program != program
    shift = torch.ones(4, 3)
    assert len(true(field).carried) == 1


@pytest.mark.parametrize("reading", ["where it has a value", "always"])
def test_a_closed_over_variable_without_a_value(reading: str) -> None:
    scaled = False

    def field_of() -> tuple[Callable[[Tensor, Tensor], Tensor], Callable[[float], None], Callable[[], None]]:
        if scaled:
            scale = 0.0

        def careful(t: Tensor, y: Tensor) -> Tensor:
            return y * scale if scaled else y.sin()

        def bold(t: Tensor, y: Tensor) -> Tensor:
            try:
                return y * scale
            except NameError:
                return y.sin()

        def assign(value: float) -> None:
            nonlocal scale, scaled
            scale, scaled = value, True

        def delete() -> None:
            nonlocal scale, scaled
            del scale
            scaled = False

        return bold if reading == "always" else careful, assign, delete

    field, assign, delete = field_of()
    program = true(field).program
    assert true(field).program is program
    assign(2.0)
    true(field)
    assign(3.0)
    true(field)
    delete()
    true(field)


def test_a_closed_over_variable_that_the_function_gives_its_value() -> None:
    def field_of() -> Callable[[Tensor, Tensor], Tensor]:
        if not RATE:
            last = torch.zeros(())

        def field(t: Tensor, y: Tensor) -> Tensor:
            nonlocal last
            last = y * 2
            return last

        return field

    field = field_of()
    reason = declined(field)
    assert "'last', closed over by" in reason
    (cell,) = field.__closure__ or ()
    assert cell == types.CellType()


def test_a_closure_tensor_with_gradient() -> None:
    matrix = torch.randn(3, 3)
    first = true(lambda t, y: y @ matrix)
    assert not first.parameters()[0].requires_grad
    matrix.requires_grad_()
    second = true(lambda t, y: y @ matrix)
    assert second.parameters()[0].requires_grad
    tangled = (matrix * 2).sin()
    captured = true(lambda t, y: y * tangled[0])
    captured.parameters()[0].sum().backward()
    assert matrix.grad is not None


def test_defaults_partials_and_bound_methods() -> None:
    def field(t: Tensor, y: Tensor, rate: float = 2.0, *, shift: float = 1.0) -> Tensor:
        return y * rate + shift

    true(field)
    field.__defaults__ = (3.0,)
    true(field)
    field.__kwdefaults__ = {"shift": 4.0}
    true(field)
    true(functools.partial(field, rate=5.0))
    true(functools.partial(field, rate=6.0))
    true(functools.partial(field, shift=6.0))
    net = Net()
    true(net.forward)
    net.rate = 7.0
    true(net.forward)


def test_code_replaced() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y

    true(field)
    field.__code__ = (lambda t, y: -y).__code__
    true(field)


def test_plain_objects() -> None:
    @dataclass
    class Decay:
        rate: float

        def __call__(self, t: Tensor, y: Tensor) -> Tensor:
            return -self.rate * y

    field = Decay(2.0)
    true(field)
    field.rate = 3.0
    true(field)
    true(Decay(4.0))
    config = types.MethodType(lambda self, t, y: y * self.rate, field)
    true(config)
    field.rate = 5.0
    true(config)


def test_attributes_reached_without_their_names() -> None:
    class Reflective(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rate_a, self.rate_b, self.which = 2.0, 3.0, "a"

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * float(getattr(self, f"rate_{self.which}"))

    field = Reflective()
    true(field)
    field.rate_a = 5.0
    true(field)
    field.which = "b"
    true(field)

    @dataclass
    class Rates:
        first: float = 1.0
        second: float = 2.0

    rates = Rates()

    def matching(t: Tensor, y: Tensor) -> Tensor:
        match rates:
            case Rates(first=a, second=b):
                return y * a + b
        return y

    def converting(t: Tensor, y: Tensor) -> Tensor:
        return y * sum(dataclasses.astuple(rates))

    for func in (matching, converting):
        true(func)
        rates.second += 1.0
        true(func)


def test_a_module_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    constants = types.ModuleType("constants")
    constants.__dict__.update(rate=2.0, drift=lambda y: -y, deep=types.ModuleType("constants.deep"))
    constants.deep.shift = 1.0
    monkeypatch.setitem(globals(), "constants", constants)
    field = eval("lambda t, y: constants.drift(y) * constants.rate + constants.deep.shift", globals())
    true(field)
    constants.rate = 3.0
    true(field)
    constants.drift = torch.sin
    true(field)
    constants.deep.shift = 5.0
    true(field)


def test_a_decorated_field() -> None:
    def scaled(func: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
        @functools.wraps(func)
        def inner(t: Tensor, y: Tensor) -> Tensor:
            return func(t, y) * RATE

        return inner

    @torch.enable_grad()
    @scaled
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y.sin()

    global RATE
    true(field)
    try:
        RATE = 7.0
        true(field)
    finally:
        RATE = 2.0


def test_environment() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * torch.ones(3)

    true(field)
    try:
        torch.set_default_dtype(torch.float64)
        assert "float64" in declined(field)
    finally:
        torch.set_default_dtype(torch.float32)
    true(field)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "autocast" in declined(field)
    with torch.overrides.BaseTorchFunctionMode():
        assert "mode" in declined(field)
