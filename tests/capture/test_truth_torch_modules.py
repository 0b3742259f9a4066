"""Modules of torch's own: what their code reads is watched, however it comes to be read."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import T, Y, captured_at, declined, must_capture, true
from flashode.capture import Capture
from flashode.capture.guards.trusted_modules import attributes_read, names_used
from flashode.capture.guards.watch import watch

Field = Callable[[Any, Any], Any]
RATE = 2.0


def follows(field: Field, change: Callable[[], object]) -> None:
    true(field)
    before = field(T, Y)
    change()
    assert not torch.equal(field(T, Y), before)
    if isinstance(captured_at(field, T, Y), Capture):
        true(field)


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (nn.Softplus(), "beta", 3.0),
        (nn.ELU(), "alpha", 3.0),
        (nn.LayerNorm(3), "eps", 1.0),
        (nn.Hardtanh(), "max_val", 0.1),
        (nn.GELU(), "approximate", "tanh"),
        (nn.LeakyReLU(), "negative_slope", 0.5),
        (nn.Linear(3, 3), "bias", None),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_attributes_of_layers(layer: nn.Module, name: str, value: object, wrapped: bool) -> None:
    before = getattr(layer, name)
    net = nn.Sequential(layer, nn.Tanh()) if wrapped else layer
    follows(lambda t, y: net(y), lambda: setattr(layer, name, value))
    setattr(layer, name, before)


def test_attributes_that_nothing_reads_cost_no_trace() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    field: Field = lambda t, y: net(y)  # noqa: E731
    program = true(field).program
    net[0].in_features = 17
    net.eval()
    assert must_capture(field).program is program


def test_attributes_that_only_the_users_code_reads() -> None:
    layer = nn.Linear(3, 3)
    follows(lambda t, y: layer(y) * layer.in_features, lambda: setattr(layer, "in_features", 7))
    follows(lambda t, y: layer(y) if layer.training else -y, layer.eval)
    follows(lambda t, y: layer(y) * len(layer.extra_repr()), lambda: setattr(layer, "out_features", 10**6))
    follows(lambda t, y: layer(y) * len(f"{layer}"), lambda: setattr(layer, "in_features", 10**6))
    follows(
        lambda t, y: layer(y) * getattr(layer, "in" + "_features"), lambda: setattr(layer, "in_features", 3)
    )


def test_functions_of_torch_that_look_into_modules() -> None:
    layer = nn.Linear(3, 3)

    def called(t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = torch.func.functional_call(layer, {"bias": t * torch.ones(3)}, (y,))
        return out

    follows(called, lambda: layer.weight.data.mul_(2))
    follows(called, lambda: setattr(layer, "forward", torch.sin))


def test_layers_of_torch_read_attributes_of_each_other() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True).eval()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    y = torch.randn(2, 3, 4)
    field: Field = lambda t, y: layer(y)  # noqa: E731
    for inner, name, value in ((layer.norm1, "eps", 1.0), (layer.linear1, "in_features", 17)):
        check = watch(field).code.compile(())
        assert check(field) is not None
        setattr(inner, name, value)
        assert check(field) is None
    if isinstance(captured_at(field, T, y), Capture):
        true(field, y=y)


def test_what_torch_does_to_the_weights_makes_nothing_else_matter() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))
            self.log = open  # nothing that could be watched

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.layer(y)
            return out

    true(Normed())


def test_an_attribute_that_comes_later() -> None:
    layer = nn.Linear(3, 3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        try:
            return layer(y) * layer.gain
        except AttributeError:
            return y

    follows(field, lambda: layer.register_buffer("gain", torch.ones(3) * 2))


def test_a_forward_of_a_layers_own() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    follows(lambda t, y: net(y), lambda: setattr(net[1], "forward", lambda x: -x))


def test_a_forward_of_the_users_for_a_class_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.Tanh, "forward", lambda self, x: x * RATE + getattr(self, "shift", 0.0))
    layer = nn.Tanh()
    follows(lambda t, y: layer(y), lambda: monkeypatch.setitem(globals(), "RATE", 5.0))
    follows(lambda t, y: layer(y), lambda: setattr(layer, "shift", 1.0))


def test_a_forward_that_a_class_of_the_users_inherits(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(nn.Linear):
        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return super().forward(y) * 2

    follows(Wide(3, 3), lambda: monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x * RATE))


def test_layers_in_containers() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    follows(lambda t, y: net(y), lambda: net.append(nn.Sigmoid()))
    follows(lambda t, y: net(y), lambda: net.insert(0, nn.ReLU()))
    follows(lambda t, y: net[0](y) * len(net), lambda: net.__delitem__(2))
    named = nn.ModuleDict({"a": nn.Tanh(), "b": nn.Sigmoid()})
    follows(
        lambda t, y: torch.stack([layer(y) * i for i, layer in enumerate(named.values())]).sum(0),
        lambda: named.update({"a": named.pop("a")}),
    )


class Gated(nn.Module):
    gain = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.layer = 1.0, nn.Linear(3, 3)

    def drift(self, y: Tensor) -> Tensor:
        return self.layer(y) * self.gain

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.drift(y)


def test_an_attribute_of_the_class_hidden_in_place_of_another() -> None:
    def hide(net: Gated, name: str, value: object) -> None:
        net.unused = 1.0
        true(net)
        del net.unused
        net.__dict__[name] = value

    follows(net := Gated(), lambda: hide(net, "gain", 3.0))
    follows(net, lambda: hide(net, "drift", torch.sin))


def test_what_the_code_of_torch_reads() -> None:
    assert attributes_read(nn.Linear, nn.Linear.forward) == {"weight", "bias"}
    assert attributes_read(nn.Tanh, nn.Tanh.forward) == frozenset()
    assert attributes_read(nn.Linear, nn.Linear.forward, frozenset(["extra_repr"])) >= {"in_features"}
    # Another method than its own, a method that gives the module away, a container, a class of the user's.
    assert attributes_read(nn.Linear, must_capture) is None
    assert attributes_read(nn.Linear, nn.Linear.forward, frozenset(["to"])) is None
    assert attributes_read(nn.Sequential, nn.Sequential.forward) is None
    assert attributes_read(Gated, Gated.forward) is None
    # It reads attributes of its own layers.
    assert names_used(nn.TransformerEncoderLayer) >= {"in_proj_bias", "eps"}


def test_running_statistics_and_modes() -> None:
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(8, 3) * 3 + 1)
    norm.eval()
    follows(lambda t, y: norm(y), lambda: norm.running_mean.add_(1))
    evaluated = nn.Sequential(norm, nn.Linear(3, 3)).eval()
    field: Field = lambda t, y: evaluated(y)  # noqa: E731
    true(field)
    norm.train()
    declined(field)


def test_a_device_moved() -> None:
    net = nn.Linear(3, 3)
    shift = torch.ones(3)
    field: Field = lambda t, y: net(y) + F.relu(shift)  # noqa: E731
    program = true(field).program
    state = net.state_dict()
    net.to("meta")
    assert "calling it raised" in declined(field)
    net.to_empty(device="cpu").load_state_dict(
        {name: torch.ones_like(w, device="cpu") for name, w in state.items()}
    )
    assert true(field).program is program
