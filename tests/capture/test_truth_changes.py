"""Whatever is done to a network between solves, at random: its capture agrees with it, or there is none."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import T, Y, captured_at, evaluated
from flashode.capture import Capture

GAIN = 2.0
Chooser = random.Random
Change = Callable[["Field", Chooser], object]


class Block(nn.Module):
    scale = 1.5

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.act, self.rate, self.unused = nn.Linear(3, 3), nn.Tanh(), 2.0, 1.0

    def drift(self, y: Tensor) -> Tensor:
        out: Tensor = self.act(self.layer(y)) * self.rate
        return out

    def forward(self, y: Tensor) -> Tensor:
        return self.drift(y) * self.scale * GAIN


class Stack(nn.Module):
    """Tells its last layer from the others."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])

    def forward(self, y: Tensor) -> Tensor:
        for layer in self.layers:
            y = layer(y) if layer is self.layers[-1] else torch.tanh(layer(y))
        return y


LAYERS: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(3, 3),
    lambda: nn.Linear(3, 3, bias=False),
    lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU()),
    lambda: nn.LayerNorm(3),
    nn.Softplus,
    nn.ELU,
    nn.PReLU,
    nn.LeakyReLU,
    nn.GELU,
    Block,
    Stack,
]


class Field(nn.Module):
    def __init__(self, chooser: Chooser) -> None:
        super().__init__()
        self.net = nn.Sequential(*(chooser.choice(LAYERS)() for _ in range(3)))
        self.extra = nn.Linear(3, 3)
        self.table: dict[str, Any] = {"a": 1.0, "b": [1.0, 2.0]}
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.net(y) * self.table["a"] + self.table["b"][0] * self.extra(y)

    def of(self, *kinds: type[nn.Module]) -> list[Any]:
        """The modules of exactly these kinds that no parametrization has made."""
        modules = [module for name, module in self.named_modules() if "parametrizations" not in name]
        return [module for module in modules if type(module) in kinds]

    def lists(self) -> list[Any]:
        return [module for module in self.of(nn.Sequential, nn.ModuleList) if len(module)]


def some(chooser: Chooser, items: Sequence[Any]) -> Sequence[Any]:
    """One of them, if there is one."""
    return chooser.sample(items, min(1, len(items)))


def change_a_number(field: Field, chooser: Chooser) -> None:
    module = chooser.choice(list(field.modules()))
    names = [name for name, value in module.__dict__.items() if type(value) is float]
    for name in some(chooser, names):
        module.__dict__[name] = chooser.choice([0.5, 1, 1.0, 2.0, 0.0, -0.0])


def replace_a_layer(field: Field, chooser: Chooser) -> None:
    layers = chooser.choice(field.lists())
    layers[chooser.randrange(len(layers))] = nn.Linear(3, 3)


def use_a_layer_twice(field: Field, chooser: Chooser) -> None:
    layers = chooser.choice(field.lists())
    layers[chooser.randrange(len(layers))] = layers[chooser.randrange(len(layers))]


def add_a_layer(field: Field, chooser: Chooser) -> None:
    field.net.append(chooser.choice(LAYERS)())


def drop_layers(field: Field, chooser: Chooser) -> None:
    del field.net[2:]


def reorder(field: Field, chooser: Chooser) -> None:
    children = chooser.choice(field.lists())._modules
    items = chooser.sample(list(children.items()), len(children))
    children.clear()
    children.update(items)


def tie(field: Field, chooser: Chooser) -> None:
    first, last = field.of(nn.Linear)[:1], field.of(nn.Linear)[-1:]
    for layer, other in zip(first, last, strict=True):
        layer.weight = other.weight


def replace_a_weight(field: Field, chooser: Chooser) -> None:
    for layer in some(chooser, field.of(nn.Linear)):
        weight = torch.randn(3, 3)
        layer.weight = nn.Parameter(weight.t() if chooser.random() < 0.5 else weight)


def add_or_drop_a_bias(field: Field, chooser: Chooser) -> None:
    for layer in some(chooser, field.of(nn.Linear)):
        layer.bias = nn.Parameter(torch.randn(3)) if layer.bias is None else None


def freeze(field: Field, chooser: Chooser) -> None:
    parameter = chooser.choice(list(field.parameters()))
    parameter.requires_grad_(not parameter.requires_grad)


def hook(field: Field, chooser: Chooser) -> None:
    for module in some(chooser, field.of(nn.Linear, Block)):
        handle = module.register_forward_hook(lambda module, arguments, out: out * 2)
        if chooser.random() < 0.8:
            handle.remove()


def own_forward(field: Field, chooser: Chooser) -> None:
    for module in some(chooser, field.of(nn.Linear, nn.ELU, Block, Stack)):
        module.forward = torch.sin


def no_own_forward(field: Field, chooser: Chooser) -> None:
    for module in field.modules():
        module.__dict__.pop("forward", None)


def hide_an_attribute(field: Field, chooser: Chooser) -> None:
    for block in field.of(Block):
        block.__dict__.pop("unused", None)
        block.__dict__["scale"] = chooser.choice([1.0, 9.0])


def change_the_table(field: Field, chooser: Chooser) -> None:
    field.table = {"a": chooser.choice([1.0, 2.0, 2]), "b": [chooser.choice([0.0, 1.0]), 2.0]}


def change_what_is_around(field: Field, chooser: Chooser) -> None:
    globals()["GAIN"] = chooser.choice([1.0, 2.0, 3.0])
    Block.scale = chooser.choice([1.5, 2.5])


def normalise_weights(field: Field, chooser: Chooser) -> None:
    for layer in some(chooser, field.of(nn.Linear)):
        nn.utils.parametrizations.weight_norm(layer)


def switch_modes(field: Field, chooser: Chooser) -> None:
    field.train(chooser.random() < 0.5)


CHANGES: list[Change] = [
    change_a_number,
    replace_a_layer,
    use_a_layer_twice,
    add_a_layer,
    drop_layers,
    reorder,
    tie,
    replace_a_weight,
    add_or_drop_a_bias,
    freeze,
    hook,
    own_forward,
    no_own_forward,
    hide_an_attribute,
    change_the_table,
    change_what_is_around,
    normalise_weights,
    switch_modes,
]


@pytest.mark.parametrize("seed", range(4))
def test_a_capture_follows_random_changes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "GAIN", GAIN)
    monkeypatch.setattr(Block, "scale", Block.scale)
    chooser = random.Random(seed)
    torch.manual_seed(seed)
    field, captured = Field(chooser), 0
    for _ in range(30):
        change = chooser.choice(CHANGES)
        change(field, chooser)
        capture_ = captured_at(field, T, Y)
        assert field.nfe == 0
        if isinstance(capture_, Capture):
            captured += 1
            with torch.no_grad():
                expected = field(T, Y)
            scale = float(expected.abs().max())
            torch.testing.assert_close(
                evaluated(capture_, T, Y), expected, rtol=1e-4, atol=1e-5 * (1 + scale)
            )
            field.nfe = 0
    assert captured > 5
