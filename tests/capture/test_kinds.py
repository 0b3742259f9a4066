"""A capture is found again only where nothing is different, with torch's look at tensors and without."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from capture.agreement import T, Y, captured_at, declined, must_capture, true
from flashode.capture import Capture, Start, capture
from flashode.capture.guards import environment, kinds
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


@pytest.fixture(params=[True, False], ids=["together", "one by one"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With and without torch's function."""
    if not request.param:
        monkeypatch.setattr(kinds, "_GUARDS", None)
        monkeypatch.setattr(environment, "_usual", [])


def test_torch_has_the_function() -> None:
    assert kinds._GUARDS is not None


def test_it_tells_tensors_apart() -> None:
    tensors = [Y, torch.zeros(2), nn.Parameter(torch.zeros(3))]
    seen = kinds.Kinds()
    assert not seen.same(*tensors)
    seen.learn(*tensors)
    assert seen.same(torch.ones(4, 3), torch.ones(2), nn.Parameter(torch.ones(3)))
    rest = tensors[1:]
    for others in (
        (Y[:3], *rest),
        (Y.double(), *rest),
        (Y.t().contiguous().t(), *rest),
        (Y, rest[0], rest[1].detach()),
        (Y, rest[0], nn.Parameter(torch.zeros(3), requires_grad=False)),
        (Y, torch._neg_view(rest[0]), rest[1]),
        (Y, rest[0], rest[0]),
    ):
        assert not seen.same(*others)
    rest[1].requires_grad_(False)
    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            assert not seen.same(*tensors)


def test_sizes_that_do_not_matter() -> None:
    seen = kinds.Kinds()
    seen.learn(Y, Y[0], any_size=True)
    assert seen.same(Y[:2], torch.ones(7))
    assert seen.same(Y.t(), Y[:, 0])
    for others in ((Y, Y), (Y.double(), Y[0]), (Y.clone().requires_grad_(), Y[0])):
        assert not seen.same(*others)


@pytest.mark.parametrize("guards", [None, object, lambda *tensors: None, lambda *tensors, **kwargs: None])
def test_whatever_torch_has_instead(guards: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._C._dynamo.guards, "TensorGuards", guards)
    assert kinds._tensor_guards() is None


@pytest.mark.parametrize("answer", [True, False])
def test_a_function_that_cannot_tell(answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Careless:
        def __init__(self, *tensors: Tensor, **kwargs: Any) -> None: ...

        def check(self, *tensors: Tensor) -> bool:
            return answer

    monkeypatch.setattr(torch._C._dynamo.guards, "TensorGuards", Careless)
    assert kinds._tensor_guards() is None


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
                assert must_capture(net).program == program


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
    must_capture(net)
    must_capture(net)
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
        handle = register(lambda *arguments: None)
        try:
            assert "hooks" in declined(net)
        finally:
            handle.remove()
    reasons = []

    def mapped(y: Tensor) -> Tensor:
        captured = captured_at(net, T, Y)
        assert isinstance(captured, Declined)
        reasons.append(captured.reason)
        return y

    torch.func.vmap(mapped)(Y)
    assert "transform" in reasons[0]
    must_capture(net)


@pytest.mark.usefixtures("_way")
def test_several_kinds_of_state_in_turn() -> None:
    net = Net()
    states: list[Any] = [Y, Y[:1], torch.randn(9, 3), Y[0], Y[:, None], Y.clone().requires_grad_()]
    for _ in range(3):
        for y in states:
            assert isinstance(captured_at(net, T, y), Capture)


def test_one_that_is_found_asks_nothing_of_the_solve() -> None:
    """Neither where it starts nor what is in the way of other states."""

    def start() -> Start:
        raise AssertionError("not to be called")

    net = Net()
    for y in (Y, (Y, Y)):
        field = net if isinstance(y, Tensor) else lambda t, y: (net(t, y[0]), y[1])
        first = captured_at(field, T, y)
        assert isinstance(first, Capture)
        net.layer.weight = nn.Parameter(torch.randn(3, 3))
        for state in (y, y + 1 if isinstance(y, Tensor) else (Y, Y + 1)):
            captured = capture(field, state, start)
            assert isinstance(captured, Capture)
            assert captured.program is first.program
    for state in (Y.clone().requires_grad_(), nn.Parameter(Y), Y.t().contiguous().t()):
        with torch.no_grad():
            assert isinstance(capture(net, state, start), Capture)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.usefixtures("_way")
def test_a_state_that_cannot_be_looked_at_is_a_decline() -> None:
    must_capture(Net())
    parts = [torch.ones(3), torch.ones(2)]
    for layout in (torch.strided, torch.jagged):
        assert isinstance(captured_at(Net(), T, torch.nested.nested_tensor(parts, layout=layout)), Declined)
    for odd in (None, [Y], (Y, None), ()):
        assert isinstance(captured_at(Net(), T, odd), Declined)
    assert "empty" in declined(Net(), Y[:0])


def test_it_holds_no_tensors() -> None:
    tensors = [torch.randn(5, 3), torch.randn(3)]
    seen = kinds.Kinds()
    seen.learn(*tensors)
    gone = list(map(weakref.ref, tensors))
    tensors.clear()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
    assert seen.same(torch.randn(5, 3), torch.randn(3))


@pytest.mark.usefixtures("_way")
def test_tuples_of_several_lengths_in_turn() -> None:
    def field(t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple([2 * part for part in y])

    for _ in range(3):
        for state in ((Y,), (Y, Y), (Y, Y[:, 0]), (Y, Y, Y)):
            assert isinstance(captured_at(field, T, state), Capture)
