"""Modules in the styles that people write, and where their parameters end up."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from capture.agreement import agrees, evaluated, must_capture, random
from flashode.program import Dense, Parameter

D = torch.float64


class Net(nn.Module):
    def __init__(self, net: nn.Module, before: Callable[[Tensor], Tensor] = lambda y: y) -> None:
        super().__init__()
        self.net = net
        self.before = before

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.net(self.before(y))
        return out


class ConcatSquash(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.bias, self.gate = nn.Linear(3, 3), nn.Linear(1, 3, bias=False), nn.Linear(1, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate(t.view(1, 1)))
        return self.layer(y) * gate + self.bias(t.view(1, 1))


class Concat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Softplus(), nn.Linear(8, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        out: Tensor = self.net(torch.cat([y, torch.ones_like(y[:, :1]) * t], 1))
        return out


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(random(5, 3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ self.weight.T) @ self.weight


class LowRank(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Parameter(random(3, 2)), nn.Parameter(random(3, 2, seed=1))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0], dtype=D))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return F.linear(y, (self.u @ self.v.T) * self.mask) + F.softplus(self.u).sum()


class Nodes(nn.Module):
    """Per-node layers, and a product with an adjacency matrix from the left."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.adjacency = nn.Parameter(random(4, 4))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.adjacency @ self.layer(y))


class Descent(nn.Module):
    """Runs down the gradient of a scalar network."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = mlp(nn.Tanh(), nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 6))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        with torch.enable_grad():
            y = y.requires_grad_(True)
            energy = self.energy(y).sum()
            return -torch.autograd.grad(energy, y, create_graph=True)[0]


class Sliced(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(random(3, 6))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return y @ self.weight[:, ::2] + self.weight[0, 1] * self.weight[1, :3]


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30 * x)


def mlp(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), *layers, nn.Linear(6, 3))


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: Net(mlp(nn.Tanh(), nn.Linear(6, 6), nn.ELU(inplace=True))), (4, 3)),
    "cubed": (lambda: Net(mlp(nn.Tanh()), lambda y: y**3), (4, 1, 3)),
    "nodes": (lambda: Net(mlp(nn.SiLU())), (4, 5, 3)),
    "bias-less": (lambda: Net(nn.Linear(3, 3, bias=False)), (4, 3)),
    "own activation": (lambda: Net(mlp(Sine())), (4, 3)),
    "prelu": (lambda: Net(mlp(nn.PReLU(6))), (4, 3)),
    "identity and dropout off": (lambda: Net(mlp(nn.Identity(), nn.Dropout(0.5))).eval(), (4, 3)),
    "concat-squash": (ConcatSquash, (4, 3)),
    "concat": (Concat, (4, 3)),
    "tied": (Tied, (4, 3)),
    "low rank": (LowRank, (4, 3)),
    "graph": (Nodes, (5, 4, 3)),
    "gradient field": (Descent, (4, 3)),
    "slices of a weight": (Sliced, (4, 3)),
    "weight_norm": (lambda: Net(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3))), (4, 3)),
    "spectral_norm": (lambda: Net(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3))).eval(), (4, 3)),
    "nested": (lambda: Net(nn.Sequential(mlp(nn.GELU()), nn.Sequential(mlp(nn.Mish())))), (4, 3)),
}


@pytest.mark.parametrize("name", MODULES)
def test_module(name: str) -> None:
    make, shape = MODULES[name]
    torch.manual_seed(0)
    func = make().double()
    y = random(*shape)
    captured = must_capture(func, y)
    assert captured.batched
    agrees(func, captured, y, list(func.parameters()))
    agrees(func, captured, random(9, *shape[1:], seed=4), list(func.parameters()))


def test_parameters_are_the_modules_own() -> None:
    func = Net(mlp(nn.Tanh())).double()
    captured = must_capture(func, random(4, 3))
    assert [id(p) for p in captured.parameters()] == [id(p) for p in func.parameters()]
    assert not any(isinstance(op, Parameter) for op in captured.program.ops)


def test_one_weight_serves_all_nodes() -> None:
    func = Net(nn.Linear(3, 3)).double()
    (op,) = must_capture(func, random(4, 5, 3)).program.ops
    assert isinstance(op, Dense)
    assert op.repeats == 5


def test_a_weight_used_transposed_is_prepared_by_the_prologue() -> None:
    weight = random(3, 3).requires_grad_()
    captured = must_capture(lambda t, y: y @ weight, random(4, 3))
    (prepared,) = captured.parameters()
    assert prepared.is_contiguous()
    torch.testing.assert_close(prepared, weight.T)
    prepared.sum().backward()
    assert weight.grad is not None


def test_tied_weights_are_one_parameter_each_way() -> None:
    func = Tied()
    parameters = must_capture(func, random(4, 3)).parameters()
    assert parameters[0] is func.weight
    assert len(parameters) == 2


def test_a_function_of_parameters_alone_is_hoisted() -> None:
    func = LowRank()
    captured = must_capture(func, random(4, 3))
    assert sum(isinstance(op, Dense) for op in captured.program.ops) == 1
    assert captured.program.flops() <= 2 * 9 + 3


def test_a_time_dependent_net_is_not_hoisted() -> None:
    func = ConcatSquash().double()
    assert sum(isinstance(op, Dense) for op in must_capture(func, random(4, 3)).program.ops) == 3


def test_float32() -> None:
    func = Net(mlp(nn.Tanh()))
    y = random(4, 3).float()
    captured = must_capture(func, y)
    torch.testing.assert_close(evaluated(captured, torch.tensor(0.3), y), func(torch.tensor(0.3), y))
    assert {p.dtype for p in captured.parameters()} == {torch.float32}
