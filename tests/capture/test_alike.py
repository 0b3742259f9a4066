"""The short way to a capture: only where nothing is different, and never missed where it is not there."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import flashode.capture
from capture.agreement import T, Y, declined, made, true
from flashode.capture import Capture, capture
from flashode.capture.watching import alike
from flashode.declined import Declined


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.scale = torch.ones(3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.layer(y) * self.scale
        return out


class Passing(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.fixture(params=[True, False], ids=["short", "long"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without torch's function."""
    if not request.param:
        monkeypatch.setattr(alike, "_GUARDS", None)


def test_torch_has_the_function() -> None:
    assert alike._GUARDS is not None


def test_it_tells_states_and_tensors_apart() -> None:
    tensors = [torch.zeros(2), nn.Parameter(torch.zeros(3))]
    same = alike.alike(Y, tensors)
    assert same is not None
    assert same(torch.ones(4, 3), torch.ones(2), nn.Parameter(torch.ones(3)))
    for others in (
        (Y[:3], *tensors),
        (Y.double(), *tensors),
        (Y.t().contiguous().t(), *tensors),
        ((Y,), *tensors),
        (Y, tensors[0], tensors[1].detach()),
        (Y, tensors[0], nn.Parameter(torch.zeros(3), requires_grad=False)),
        (Y, torch._neg_view(tensors[0]), tensors[1]),
    ):
        assert not same(*others)
    tensors[1].requires_grad_(False)
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert not same(Y, *tensors)


def test_states_of_several_tensors() -> None:
    same = alike.alike((Y, Y[0]), [torch.zeros(2)])
    assert same is not None
    w = torch.ones(2)
    assert same((Y + 1, Y[1].clone()), w)
    assert not same(Y, w)
    assert not same((Y,), w)
    assert not same((Y, Y[0], w), w)
    assert not same((Y, Y), w)


@pytest.mark.parametrize("guards", [None, object, lambda *tensors: None, lambda *tensors, **kwargs: None])
def test_whatever_torch_has_instead(guards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._C._dynamo.guards, "TensorGuards", guards)
    assert alike._found() is None


@pytest.mark.parametrize("answer", [True, False])
def test_a_function_that_cannot_tell(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless:
        def __init__(self, *tensors: Tensor, **kwargs: Any) -> None: ...

        def check(self, *tensors: Tensor) -> bool:
            return answer

    monkeypatch.setattr(torch._C._dynamo.guards, "TensorGuards", Careless)
    assert alike._found() is None


@pytest.mark.usefixtures("_way")
def test_what_is_found_stays_true() -> None:
    net = Net()
    program = true(net).program
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: net.layer.weight.data.mul_(2),
        lambda: setattr(net.layer, "weight", nn.Parameter(torch.randn(3, 3))),
        lambda: net.layer.weight.requires_grad_(False),
        lambda: setattr(net, "scale", torch.ones(3, requires_grad=True)),
        lambda: setattr(net, "scale", torch.ones(6)[::2]),
        lambda: setattr(net, "scale", torch._neg_view(torch.ones(3))),
        lambda: setattr(net, "scale", torch.ones(())),
        lambda: setattr(net, "scale", net.layer.bias),
        lambda: setattr(net, "layer", nn.Linear(3, 3, bias=False)),
    ]
    for change in changes:
        change()
        for _ in range(3):
            true(net)
    net = Net()
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            for _ in range(3):
                assert made(net).program == program


@pytest.mark.usefixtures("_way")
def test_the_state_is_one_of_the_functions_tensors() -> None:
    weight = Y.clone()
    field = lambda t, y: y * weight[0]  # noqa: E731
    for _ in range(3):
        true(field, y=weight)
        true(field)


@pytest.mark.usefixtures("_way")
def test_obstacles_that_come_later() -> None:
    net = Net()
    made(net)
    made(net)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert "autocast" in declined(net)
    with torch.autograd.forward_ad.dual_level():
        assert "forward-mode" in declined(net)
    for mode in (torch.overrides.BaseTorchFunctionMode(), Passing()):
        with mode:
            assert "mode" in declined(net)
    modules = nn.modules.module
    for register in (
        modules.register_module_full_backward_hook,
        modules.register_module_full_backward_pre_hook,
        modules.register_module_forward_hook,
        modules.register_module_forward_pre_hook,
    ):
        handle = register(lambda *given: None)
        try:
            assert "hooks" in declined(net)
        finally:
            handle.remove()
    reasons = []

    def mapped(y: Tensor) -> Tensor:
        found = capture(net, T, Y)
        assert isinstance(found, Declined)
        reasons.append(found.reason)
        return y

    torch.func.vmap(mapped)(Y)
    assert "transform" in reasons[0]
    made(net)


@pytest.mark.usefixtures("_way")
def test_several_kinds_of_state_in_turn() -> None:
    net = Net()
    states = [Y, Y[:1], torch.randn(9, 3), Y[0], Y[:, None], Y.clone().requires_grad_()]
    for _ in range(3):
        for y in states:
            assert isinstance(capture(net, T, y), Capture)


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net()
    made(net)
    monkeypatch.setattr(flashode.capture, "obstacle", None)
    program = made(net).program
    net.layer.weight = nn.Parameter(torch.randn(3, 3))
    assert made(net, Y + 1).program is program
    with torch.no_grad():
        made(net)


def test_it_holds_no_tensors() -> None:
    tensors = [torch.randn(5, 3), torch.randn(3)]
    same = alike.alike(tensors[0], tensors[1:])
    gone = list(map(weakref.ref, tensors))
    tensors.clear()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert same is not None
    assert same(torch.randn(5, 3), torch.randn(3))
