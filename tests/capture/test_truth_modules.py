"""A captured module stays true, whatever changes in it."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import T, Y, declined, true
from flashode.capture import Capture


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
    captured = torch.func.functional_call(Solving(), named, ())
    assert [id(p) for p in captured.parameters()] == [id(p) for p in swapped.values()]
    # A plain tensor is not a Parameter to a check on types, but the field is the same.
    assert captured.program == program
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
    handle = net.first.register_forward_hook(lambda module, arguments, out: 2 * out)
    assert "hooks" in declined(net)
    handle.remove()
    true(net)
    handle = nn.modules.module.register_module_forward_hook(lambda module, arguments, out: None)
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
    assert "writes into its arguments" in declined(net)
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
    captured = true(net)
    assert [p.requires_grad for p in captured.parameters()] == [False, True, True, True]


def test_dtype_moved() -> None:
    net = Net()
    true(net)
    net.double()
    assert "calling it raised" in declined(net)
    assert true(net, T.double(), Y.double()).parameters()[0].dtype == torch.float64
    true(net.float())


def test_a_forward_of_the_instances_own() -> None:
    net = Net()
    true(net)
    net.forward = lambda t, y: -y
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
    Field.drift = lambda self, y: -y
    true(field)
    Field.shift = property(lambda self: 5.0)
    true(field)
    Field.squash = staticmethod(torch.sin)
    true(field)
    field.rate = 4.0
    true(field)


def test_a_method_of_torch_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    true(net)
    monkeypatch.setattr(nn.Tanh, "forward", lambda self, x: -x)
    true(net)


def test_containers() -> None:
    class Layers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
            self.named = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
            self.scales = nn.ParameterList([torch.randn(3), torch.randn(3)])
            self.unregistered = [nn.Linear(3, 3)]
            self.order = ("b", "a")
            self.table = {"gain": 2.0, "shift": 1.0}

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            for layer, scale in zip([*self.layers, *self.unregistered], self.scales, strict=False):
                y = torch.tanh(layer(y)) * scale
            for name in self.order:
                y = self.named[name](y)
            for name, number in self.table.items():
                y = y * number if name == "gain" else y + number
            return y

    net = Layers()
    program = true(net).program
    net.unregistered[0] = nn.Linear(3, 3)
    assert true(net).program is program
    net.unregistered.append(nn.Linear(3, 3))
    net.scales.append(torch.randn(3))
    true(net)
    net.order = ("a", "b")
    true(net)
    net.table["gain"] = 3.0
    true(net)
    net.table["gain"] = net.table.pop("gain")
    true(net)
    net.layers[0] = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    true(net)


def test_an_inherited_field() -> None:
    class Wide(nn.Linear):
        gain = 2.0

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return super().forward(y) * self.gain

    class Wider(Wide):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return super().forward(t, y) + 1

    field = Wider(3, 3)
    true(field)
    Wide.gain = 3.0
    true(field)
    Wide.forward = lambda self, t, y: -y
    true(field)
