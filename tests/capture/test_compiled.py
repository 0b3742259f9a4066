"""What is under `torch.compile` is captured from what it was made from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import flashode
from capture.agreement import T, Y, captured_at, declined, must_capture, true
from flashode.capture import Capture


class Net(nn.Module):
    def __init__(self, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3) if layer is None else layer
        self.scale = 2.0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(y)) * self.scale


def in_place(net: nn.Module) -> nn.Module:
    net.compile(backend="eager")
    return net


def closed_over(net: nn.Module) -> Callable[..., Any]:
    inner = torch.compile(net, backend="eager")
    return lambda t, y: -inner(t, y)


WAYS: dict[str, Callable[[Net], Callable[..., Any]]] = {
    "module": lambda net: torch.compile(net, backend="eager"),
    "method": lambda net: torch.compile(net.forward, backend="eager"),
    "in place": in_place,
    "submodule": lambda net: Net(torch.compile(net.layer, backend="eager")),
    "submodule in place": lambda net: Net(in_place(net.layer)),
    "in a closure": closed_over,
    "disabled": lambda net: torch.compiler.disable(net.forward),
}


@pytest.mark.parametrize("way", WAYS)
def test_it_is_captured_and_the_same(way: str) -> None:
    net = Net()
    func = WAYS[way](net)
    assert true(func).batched
    with torch.no_grad():
        net.layer.weight.mul_(3)
    true(func)


@pytest.mark.parametrize("way", ["module", "method", "in place", "in a closure"])
def test_a_change_of_the_original_is_noticed(way: str) -> None:
    net = Net()
    func = WAYS[way](net)
    must_capture(func)
    net.scale = 5.0
    true(func)
    net.layer = nn.Linear(3, 3, bias=False)
    true(func)


def test_another_compiled_thing_in_its_place_is_noticed() -> None:
    net = Net(torch.compile(nn.Linear(3, 3), backend="eager"))
    must_capture(net)
    for layer in (torch.compile(nn.Tanh(), backend="eager"), nn.Sigmoid()):
        net.layer = layer
        true(net)


def test_functions_compiled_one_by_one_are_told_apart() -> None:
    functions = [torch.compile(lambda t, y, k=k: k * y, backend="eager") for k in range(4)]
    for func in functions * 2:
        true(func)


def test_reasons_are_the_original_s() -> None:
    def branching(t: Tensor, y: Tensor) -> Tensor:
        return y if float(t) > 0 else -y

    assert "Python number" in declined(torch.compile(branching, backend="eager"))
    explanation = flashode.explain(torch.compile(Net(nn.Dropout()), backend="eager"), Y)
    assert explanation.function == "Net"
    assert "in layer Dropout: call eval()" in explanation.declined["native"]


def test_hooks_of_a_compiled_module_are_seen() -> None:
    func = torch.compile(Net(), backend="eager")
    must_capture(func)
    func.register_forward_hook(lambda module, inputs, output: output * 2)
    assert "hooks" in declined(func)


def test_in_the_eager_engine_the_compiled_one_is_called() -> None:
    seen = []

    def backend(graph: Any, inputs: Any) -> Any:
        seen.append(graph)
        return graph

    func = torch.compile(lambda t, y: -y, backend=backend)
    assert isinstance(captured_at(func, T, Y), Capture)
    assert not seen
    with flashode.use_engine("eager"):
        flashode.odeint(func, Y, torch.linspace(0, 1, 2), method="euler")
    assert seen


def test_the_compiler_is_not_imported_for_it() -> None:
    program = (
        "import sys, torch, flashode; net = torch.nn.Linear(3, 3);"
        "flashode.odeint(lambda t, y: net(y), torch.ones(4, 3), torch.linspace(0, 1, 2), method='euler');"
        "flashode.explain(lambda t, y: y.digamma(), torch.ones(4, 3));"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True)
