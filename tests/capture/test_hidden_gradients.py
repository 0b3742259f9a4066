"""A gradient that is cut off inside the field, even where it happens to vanish when the field is captured."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from capture.agreement import D, agrees, captured_at, declined, must_capture, random
from flashode.capture import Capture
from flashode.declined import Declined

SMALL = torch.full((4, 3), 0.1, dtype=D)
GRADIENT = nn.Parameter(torch.zeros(3, dtype=D))
WEIGHT = nn.Parameter(random(3))


def flat_here(t: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        g = torch.relu(y - 0.8)
    return -0.2 * y + y * g


def first_order(t: Tensor, y: Tensor) -> Tensor:
    with torch.enable_grad():
        x = y * 1
        (slope,) = torch.autograd.grad((torch.tanh(x * WEIGHT) ** 2).sum(), x)
    return slope * y


def scaled_by_a_norm(t: Tensor, y: Tensor) -> Tensor:
    with torch.no_grad():
        size = torch.zeros_like(y)
        size[:, 0] = 2.0
        size += 1
        norm = (y * WEIGHT).abs().sum(-1, keepdim=True)
        norm.add_(1)
    return y * WEIGHT / norm * size


def written_without_gradients(t: Tensor, y: Tensor) -> Tensor:
    z = y * 2
    with torch.no_grad():
        z.add_(y)
    return z


def without_inference(t: Tensor, y: Tensor) -> Tensor:
    with torch.inference_mode():
        g = torch.relu(y - 0.8)
    return -0.2 * y + y * g


def not_second_order(t: Tensor, y: Tensor) -> Tensor:
    w = GRADIENT * 1
    (slope,) = torch.autograd.grad((w**4).sum(), w)
    return y * slope


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * 0.1


CUT: dict[str, Callable[[Any, Any], Any]] = {
    "overload": lambda t, y: torch.ops.aten.detach.default(torch.relu(y - 0.5)),
    "data": lambda t, y: torch.relu(y - 0.5).data,
    "asarray": lambda t, y: torch.asarray(torch.relu(y - 0.5)),
    "a parameter made another": lambda t, y: y * nn.Parameter(GRADIENT**2),
    "a parameter made a tensor": lambda t, y: y * torch.tensor(GRADIENT**2),
    "written": written_without_gradients,
    "inference_mode": without_inference,
}


@pytest.mark.filterwarnings("ignore:To copy construct")
@pytest.mark.parametrize("name", CUT)
def test_cut_gradients_that_vanish_here(name: str) -> None:
    captured = captured_at(CUT[name], torch.tensor(0.3, dtype=D), SMALL)
    assert isinstance(captured, Declined)
    assert "gradient" in captured.reason


def detached_and_tracked_again(t: Tensor, y: Tensor) -> Tensor:
    with torch.enable_grad():
        x = y.detach().requires_grad_(True)
        (slope,) = torch.autograd.grad((torch.tanh(x * WEIGHT) ** 2).sum(), x, create_graph=True)
    return slope * t


DETACHED: dict[str, Callable[[Any, Any], Any]] = {
    "detach": lambda t, y: torch.maximum(y - 0.5, y * 0).detach() * y,
    "torch.detach": lambda t, y: torch.detach(torch.relu(y - 0.5)) - y,
    "operation": lambda t, y: torch.ops.aten.detach(torch.relu(y - 0.5)) - y,
    "made a parameter": lambda t, y: y * nn.Parameter(torch.relu(y - 0.5)),
    "made a buffer": lambda t, y: y * nn.Buffer(torch.relu(y - 0.5)),
    "parameter": lambda t, y: y * WEIGHT.detach() + WEIGHT * y**2,
    "time": lambda t, y: y * t.detach() + torch.sin(t),
    "no_grad": flat_here,
    "no_grad, parameters and writes": scaled_by_a_norm,
    "no_grad, a view": torch.no_grad()(lambda t, y: y[:, [2, 0, 1]].t().t()),
    "first order of parameters": not_second_order,
    "first order": first_order,
    "tracked again": detached_and_tracked_again,
    "view": lambda t, y: torch.cat([y[:, :1].detach(), y[:, 1:]], 1) ** 2,
    "straight through": lambda t, y: y + (torch.round(y) - y).detach() * y,
    "under vmap": torch.func.vmap(lambda t, y: y * y.detach(), in_dims=(None, 0)),
    "under grad": lambda t, y: torch.func.grad(lambda x: (x * x.detach() * y * WEIGHT).sum())(y),
}


@pytest.mark.parametrize("name", DETACHED)
def test_what_is_detached_stays_so(name: str) -> None:
    captured = must_capture(DETACHED[name], random(4, 3))
    assert any(getattr(op, "fn", "") == "detach" for op in captured.program.ops)
    agrees(DETACHED[name], captured, random(4, 3, seed=2), [WEIGHT, GRADIENT])


def test_memory_shared_with_a_detached_tensor_is_not_written() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        z = y * 2
        shared = z.detach()
        z += 1
        return shared * y

    assert "shares with a detached tensor" in declined(field)


def test_requires_grad_may_be_set_for_only_the_state() -> None:
    layer = nn.Linear(3, 1, dtype=D)

    def energy(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y.requires_grad = True
            layer.weight.requires_grad_(True)
            (slope,) = torch.autograd.grad(layer(y).tanh().sum(), y, create_graph=True)
        return slope

    def freezing(t: Tensor, y: Tensor) -> Tensor:
        layer.weight.requires_grad = False
        return y * layer(y)

    def freezing_all(t: Tensor, y: Tensor) -> Tensor:
        layer.requires_grad_(False)
        return y * layer(y)

    def asking(t: Tensor, y: Tensor) -> Tensor:
        return y * 2 if y.requires_grad else y

    agrees(energy, must_capture(energy, random(4, 3)), random(4, 3, seed=2), list(layer.parameters()))
    assert "changes requires_grad of a tensor that it owns" in declined(freezing)
    assert "changes requires_grad of a tensor that it owns" in declined(freezing_all)
    assert "asks for requires_grad" in declined(asking)
    assert layer.weight.requires_grad


def test_gradients_left_switched_off() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        torch.set_grad_enabled(False)
        return y * t

    assert "leaves gradients switched off" in declined(field)
    assert torch.is_grad_enabled()


def test_the_place_of_a_cut_is_named() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return y * y.data

    assert f"{__file__}:{field.__code__.co_firstlineno + 1}" in declined(field)


def test_a_zero_last_layer_hides_nothing() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4, dtype=D), nn.Linear(4, 3, dtype=D)
            nn.init.zeros_(self.last.weight)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.last(torch.tanh(self.first(y)).detach())
            return out

    net = Net()
    captured = must_capture(net, SMALL)
    nn.init.ones_(net.last.weight)
    agrees(net, captured, SMALL, list(net.parameters()))


@pytest.mark.filterwarnings("ignore:To copy construct")
def test_a_new_tensor_of_one_that_has_a_gradient_is_detached() -> None:
    field = lambda t, y: y * y.new_tensor(torch.relu(y - 0.5)) * torch.tensor(y)  # noqa: E731
    agrees(field, must_capture(field, SMALL), SMALL)


def test_new_tensors_cut_nothing() -> None:
    field = lambda t, y: y * y.new_tensor([1.0, 2.0, 3.0]) + torch.tensor(2.0, dtype=y.dtype)  # noqa: E731
    agrees(field, must_capture(field, random(4, 3)), random(4, 3, seed=2))


def test_a_tensor_without_gradient_may_be_detached() -> None:
    plain = random(3)
    field = lambda t, y: y * plain.detach()  # noqa: E731
    agrees(field, must_capture(field, random(4, 3)), random(4, 3, seed=2))


def test_detaching_is_autograds_own_business() -> None:
    weight = nn.Parameter(random(3, 3))

    def hamiltonian(t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            q = weight.tanh().exp()
            (slope,) = torch.autograd.grad(q.sigmoid().sum(), weight, create_graph=True)
        return torch.tanh(y @ slope) * torch.exp(t)

    agrees(hamiltonian, must_capture(hamiltonian, random(4, 3)), random(4, 3, seed=2), [weight])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_capture_made_without_gradients_is_checked_for_them(mode: Callable[[], Any]) -> None:
    fields = [
        lambda t, y: Doubled.apply(y),
        lambda t, y: -y.data,
    ]
    with mode():
        y = SMALL.clone()
        for field in fields:
            assert isinstance(captured_at(field, torch.tensor(0.3, dtype=D), y), Declined)
        net = lambda t, y: torch.tanh(y) * t  # noqa: E731
        captured = captured_at(net, torch.tensor(0.3, dtype=D), y)
        assert isinstance(captured, Capture)
        assert isinstance(captured_at(net, torch.tensor(0.3, dtype=D), torch.ones(9, 3, dtype=D)), Capture)
    agrees(net, captured, SMALL)


def test_a_module_made_in_inference_mode() -> None:
    with torch.inference_mode():
        layer = nn.Linear(3, 3)
        assert "inference mode" in declined(lambda t, y: layer(y))


def test_a_field_whose_own_backward_fails() -> None:
    def overwriting(t: Tensor, y: Tensor) -> Tensor:
        z = torch.exp(y)
        z2 = z * 1
        z.add_(1)
        return -z2 * z

    assert "RuntimeError" in declined(overwriting)


def test_exact_zeros_and_rounding_noise() -> None:
    same = torch.ones(1, 3).expand(4, 3) * 0.1
    weight = nn.Parameter(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    for field in (
        lambda t, y: (torch.exp(y) / torch.exp(y)) * torch.tanh(y @ weight),
        lambda t, y: y * (t.sin() ** 2 + t.cos() ** 2),
        lambda t, y: (y - y.mean(-1, keepdim=True)) @ weight,
    ):
        assert isinstance(captured_at(field, torch.tensor(0.3), same), Capture)


def test_an_inference_module_spoils_no_batch_size_for_others() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.layer(y)
            return out

    net, t = Net(), torch.tensor(0.3)
    captured_at(net, t, torch.ones(4, 3))
    with torch.inference_mode():
        assert isinstance(captured_at(Net(), t, torch.ones(9, 3)), Declined)
    assert isinstance(captured_at(net, t, torch.ones(9, 3)), Capture)
