"""A captured field may decline, but never differs from its function, whatever changes around it."""

import copy
import functools
import math
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode.capture
from flashode.capture import Capture, capture
from flashode.declined import Declined

T = torch.tensor(0.3)
Y = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def true(func: Callable[[Any, Any], Any], t: Tensor = T, y: Tensor = Y) -> Capture:
    """The capture, which must agree with the function as it is now."""
    found = capture(func, t, y)
    assert isinstance(found, Capture), found
    rows = y.reshape(y.shape[0], -1) if found.batched else y.reshape(-1)
    value = found.program.interpret(t, rows, found.parameters()).reshape(y.shape)
    torch.testing.assert_close(value, func(t, y))
    return found


def declined(func: Callable[[Any, Any], Any], y: Tensor = Y) -> str:
    found = capture(func, T.to(y.dtype), y)
    assert isinstance(found, Declined), found
    return found.reason


def kept() -> int:
    """How many traces were made since the cache was emptied."""
    return sum(1 for _ in flashode.capture._cache.all_entries())


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.act, self.last = nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3)
        self.rate = 2.0
        self.mode = "plain"

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        h = self.last(self.act(self.first(y))) * self.rate
        return h if self.mode == "plain" else h + t


def test_parameters_changed_in_place_or_replaced_need_no_new_trace() -> None:
    net = Net()
    program = true(net).program
    with torch.no_grad():
        net.first.weight.mul_(2)
    assert true(net).program is program
    net.first.weight = nn.Parameter(torch.randn(5, 3))
    assert true(net).program is program
    net.first.bias.data = torch.randn(5)
    assert true(net).program is program
    net.load_state_dict(Net().state_dict())
    assert true(net).program is program
    net.load_state_dict(Net().state_dict(), assign=True)
    assert true(net).program is program
    assert true(copy.deepcopy(net)).program is program


def test_functional_call_swaps_parameters() -> None:
    net = Net()
    program = true(net).program
    swapped = {name: torch.randn_like(p).requires_grad_() for name, p in net.named_parameters()}

    class Solving(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self) -> Capture:
            return true(self.net)

    named = {f"net.{name}": tensor for name, tensor in swapped.items()}
    found = torch.func.functional_call(Solving(), named, ())
    assert [id(p) for p in found.parameters()] == [id(p) for p in swapped.values()]
    # A plain tensor is not a Parameter to a check on types, but the field is the same.
    assert found.program == program
    assert true(net).program is program


def test_attributes_changed() -> None:
    net = Net()
    before = true(net).program
    net.rate = 3.0
    assert true(net).program != before
    net.rate = 2
    true(net)
    net.rate = 2.0
    assert true(net).program is before
    net.mode = "timed"
    true(net)


def test_signs_of_zero_are_told_apart() -> None:
    class Signed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.zero = 0.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return y * math.copysign(1.0, self.zero)

    field = Signed()
    true(field)
    field.zero = -0.0
    true(field)


def test_submodules_replaced() -> None:
    net = Net()
    true(net)
    net.act = nn.ReLU()
    true(net)
    net.act = nn.Sequential(nn.Tanh(), nn.Sigmoid())
    true(net)
    first = net.act[0]
    del net.act._modules["0"]
    net.act._modules["0"] = first
    true(net)
    net.first = nn.Linear(3, 5, bias=False)
    true(net)


def test_layers_tied_and_untied() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = self.a

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.b(torch.tanh(self.a(y)))
            return out

    net = Twice()
    assert len(true(net).parameters()) == 2
    net.b = nn.Linear(3, 3)
    assert len(true(net).parameters()) == 4
    net.b.weight = net.a.weight
    true(net)


def test_hooks_are_declined_and_noticed() -> None:
    net = Net()
    true(net)
    handle = net.first.register_forward_hook(lambda module, given, out: 2 * out)
    assert "hooks" in declined(net)
    handle.remove()
    true(net)
    handle = nn.modules.module.register_module_forward_hook(lambda module, given, out: None)
    assert "hooks" in declined(net)
    handle.remove()
    true(net)


def test_gradient_hooks_are_declined_and_not_called() -> None:
    net = Net()
    true(net)
    called = []
    handle = net.first.weight.register_hook(called.append)
    assert "gradient hooks" in declined(net)
    handle.remove()
    true(net)
    assert called == []


def test_parametrizations() -> None:
    net = Net()
    true(net)
    nn.utils.parametrizations.weight_norm(net.first)
    true(net)
    nn.utils.parametrize.remove_parametrizations(net.first, "weight")
    true(net)
    nn.utils.parametrizations.spectral_norm(net.last)
    assert "in place" in declined(net)
    true(net.eval())


def test_a_parametrization_of_the_users_own() -> None:
    class Scaled(nn.Module):
        factor = 2.0

        def forward(self, weight: Tensor) -> Tensor:
            return weight * self.factor

    net = Net()
    nn.utils.parametrize.register_parametrization(net.first, "weight", Scaled())
    true(net)
    Scaled.factor = 3.0
    true(net)


def test_training_mode_and_dropout() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop, self.layer = nn.Dropout(0.5), nn.Linear(3, 3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.drop(self.layer(y))
            return out

    net = Dropping().eval()
    true(net)
    generator = torch.get_rng_state()
    assert "random numbers" in declined(net.train())
    assert torch.equal(torch.get_rng_state(), generator)
    true(net.eval())


def test_requires_grad_toggled() -> None:
    net = Net()
    true(net)
    net.first.weight.requires_grad_(False)
    found = true(net)
    assert [p.requires_grad for p in found.parameters()] == [False, True, True, True]


def test_dtype_moved() -> None:
    net = Net()
    true(net)
    net.double()
    assert "tracing it raised" in declined(net)
    assert true(net, T.double(), Y.double()).parameters()[0].dtype == torch.float64
    true(net.float())


def test_a_forward_of_the_instances_own() -> None:
    net = Net()
    true(net)
    net.forward = lambda t, y: -y  # type: ignore[method-assign]
    true(net)


def test_class_attributes_and_methods_changed() -> None:
    class Field(nn.Module):
        rate = 2.0

        def drift(self, y: Tensor) -> Tensor:
            return y * self.rate

        @property
        def shift(self) -> float:
            return 1.0

        @staticmethod
        def squash(y: Tensor) -> Tensor:
            return y.tanh()

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.squash(self.drift(y)) + self.shift

    field = Field()
    true(field)
    Field.rate = 3.0
    true(field)
    Field.drift = lambda self, y: -y  # type: ignore[method-assign,assignment]
    true(field)
    Field.shift = property(lambda self: 5.0)  # type: ignore[method-assign,assignment]
    true(field)
    Field.squash = staticmethod(torch.sin)  # type: ignore[method-assign,assignment]
    true(field)
    field.rate = 4.0
    true(field)


def test_a_method_of_torch_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    true(net)
    monkeypatch.setattr(nn.Tanh, "forward", lambda self, x: -x)
    true(net)


RATE = 2.0
LAYER = nn.Linear(3, 3)
CONFIG = {"rates": [1.0, 2.0], "name": "tanh"}


def _drift(y: Tensor) -> Tensor:
    return y * RATE


def _with_globals(t: Tensor, y: Tensor) -> Tensor:
    return LAYER(_drift(y)) * CONFIG["rates"][1]  # type: ignore[index, no-any-return]


def test_globals_rebound() -> None:
    global RATE, LAYER, _drift
    kept_values = RATE, LAYER, _drift
    try:
        program = true(_with_globals).program
        LAYER = nn.Linear(3, 3)
        assert true(_with_globals).program is program
        RATE = 3.0
        true(_with_globals)
        _drift = torch.sin  # type: ignore[assignment]
        true(_with_globals)
        _drift = lambda y: -y  # noqa: E731
        true(_with_globals)
        CONFIG["rates"][1] = 5.0  # type: ignore[index]
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
    assert not true(field).batched


def test_a_closure_tensor_with_gradient() -> None:
    matrix = torch.randn(3, 3)
    first = true(lambda t, y: y @ matrix)
    assert not first.parameters()[0].requires_grad
    matrix.requires_grad_()
    second = true(lambda t, y: y @ matrix)
    assert second.parameters()[0].requires_grad
    tangled = (matrix * 2).sin()
    found = true(lambda t, y: y * tangled[0])
    found.parameters()[0].sum().backward()
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


def test_a_new_batch_size_needs_no_trace() -> None:
    net = Net()
    program = true(net).program
    for size in (2, 5, 17):
        assert true(net, y=torch.randn(size, 3)).program is program
    assert kept() == 1


def test_a_batch_of_one_is_traced_by_itself() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        out = y.squeeze() * 2
        return out + out.sum() if out.dim() == 1 else out

    for y in (Y, Y[:1], Y[:2], Y[:1]):
        rows = y[:, None]
        value = field(T, rows).reshape(rows.shape)

        def shaped(t: Tensor, y: Tensor) -> Tensor:
            return field(t, y).reshape(y.shape)

        found = capture(shaped, T, rows)
        assert isinstance(found, Capture)
        assert found.batched == (len(rows) > 1)
        flat = rows.reshape(len(rows), -1) if found.batched else rows.reshape(-1)
        result = found.program.interpret(T, flat, found.parameters())
        torch.testing.assert_close(result.reshape(rows.shape), value)


def test_branching_on_the_batch_size() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y if y.shape[0] < 10 else -y

    true(field)
    assert "with a batch of 12" in declined(field, torch.randn(12, 3))
    true(field, y=torch.randn(6, 3))


def test_batch_norm_is_not_row_wise() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.norm(y)
            return out

    net = Normed()
    before = copy.deepcopy(net.state_dict())
    declined(net)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name
