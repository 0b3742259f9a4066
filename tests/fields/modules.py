"""Networks, and the ways in which people hand a field to the solver."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from fields.catalogue import Catalogue, normal

CATALOGUE = Catalogue()


@CATALOGUE.add(normal(4, 1, 2))
class Demo(nn.Module):
    """The spiral demo of torchdiffeq: a small net of ``y**3`` that counts its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 10), nn.Tanh(), nn.Linear(10, 2))
        self.nfe = 0
        for m in self.net.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, mean=0, std=0.1)
                nn.init.constant_(m.bias, val=0)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.net(y**3)


@CATALOGUE.add(normal(3, 4))
class Latent(nn.Module):
    """The latent-ODE demo: ELU in place."""

    def __init__(self) -> None:
        super().__init__()
        self.elu = nn.ELU(inplace=True)
        self.fc1 = nn.Linear(4, 6)
        self.fc2 = nn.Linear(6, 6)
        self.fc3 = nn.Linear(6, 4)
        self.nfe = 0

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        self.nfe += 1
        out = self.fc1(x)
        out = self.elu(out)
        out = self.fc2(out)
        out = self.elu(out)
        return self.fc3(out)


@CATALOGUE.add(normal(3, 3))
class Layers(nn.Module):
    """A loop over a ModuleList with residual connections."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3) for _ in range(3)])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        h = y
        for i, layer in enumerate(self.layers):
            h = h + torch.tanh(layer(h)) / (i + 1)
        return h - y


@CATALOGUE.add(normal(3, 3))
class Branches(nn.Module):
    """A ModuleDict, and branches joined by ``cat``."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.ModuleDict({"left": nn.Linear(3, 2), "right": nn.Linear(3, 2, bias=False)})
        self.head = nn.Linear(4, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        parts = [self.net[name](y) for name in ("left", "right")]
        return self.head(torch.cat(parts, dim=-1).sin())


@CATALOGUE.add(normal(3, 4))
class Normalised(nn.Module):
    """LayerNorm between the layers, as in residual networks."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(4), nn.Linear(4, 6), nn.SiLU(), nn.LayerNorm(6), nn.Linear(6, 4)
        )

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.net(y)


@CATALOGUE.add(normal(3, 4))
class NormalisedWithoutWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4, elementwise_affine=False)
        self.out = nn.Linear(4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.out(self.norm(y))


@CATALOGUE.add(normal(3, 4))
class RootMeanSquareNormalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(4)
        self.out = nn.Linear(4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.out(self.norm(y))


@CATALOGUE.add(normal(3, 4))
class GroupNormalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(2, 4)
        self.out = nn.Linear(4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.out(self.norm(y))


@CATALOGUE.add(normal(3, 4))
def batch_normalised_in_eval() -> nn.Module:
    """BatchNorm in evaluation mode is an affine map of each row."""

    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.norm.running_mean = torch.randn(4)
            self.norm.running_var = torch.rand(4) + 0.5
            self.out = nn.Linear(4, 4)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.out(self.norm(y).tanh())

    return Field().eval()


@CATALOGUE.add(normal(3, 4))
def dropout_in_eval() -> nn.Module:
    class Field(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Tanh(), nn.Identity())

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.net(y)

    return Field().eval()


@CATALOGUE.add(normal(3, 4))
class Gru(nn.Module):
    """A GRU-ODE: the cell's update, less the state, without inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(2, 4)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        x = torch.zeros(h.shape[0], 2, dtype=h.dtype)
        return self.cell(x, h) - h


@CATALOGUE.add(normal(3, 4))
class GruByHand(nn.Module):
    """The GRU-ODE of latent models, with gates written out."""

    def __init__(self) -> None:
        super().__init__()
        self.lin_hh = nn.Linear(4, 4, bias=False)
        self.lin_hz = nn.Linear(4, 4, bias=False)
        self.lin_hr = nn.Linear(4, 4, bias=False)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        r = torch.sigmoid(self.lin_hr(h))
        z = torch.sigmoid(self.lin_hz(h))
        u = torch.tanh(self.lin_hh(r * h))
        return (1 - z) * (u - h)


@CATALOGUE.add(normal(3, 4))
class RecurrentCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.RNNCell(1, 4)

    def forward(self, t: Tensor, h: Tensor) -> Tensor:
        return self.cell(t.expand(h.shape[0], 1), h) - h


@CATALOGUE.add(normal(3, 6))
class LstmOnBothHalves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(1, 3)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        h, c = y.chunk(2, dim=-1)
        h2, c2 = self.cell(t.reshape(1, 1).repeat(y.size(0), 1), (h, c))
        return torch.cat((h2 - h, c2 - c), -1)


@CATALOGUE.add(normal(3, 4))
class Highway(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.carry = nn.Linear(4, 4)
        self.transform = nn.Linear(4, 4)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        gate = self.carry(y).sigmoid()
        return torch.lerp(y, self.transform(y).relu(), gate)


@CATALOGUE.add(normal(2, 3))
class ParameterContainers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ParameterList([nn.Parameter(torch.randn(3)) for _ in range(2)])
        self.more = nn.ParameterDict({"shift": nn.Parameter(torch.randn(3))})
        self.register_buffer("offset", torch.randn(3))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        for scale in self.scales:
            y = torch.tanh(scale * y + self.offset)
        return y + self.more["shift"]


@CATALOGUE.add(normal(2, 3))
def sequential_in_a_lambda() -> tuple[Any, Any]:
    net = nn.Sequential(nn.Linear(3, 5), nn.Softplus(), nn.Linear(5, 3))
    return lambda t, y: net(y), net.parameters()


class _Subclassed(nn.Sequential):
    def forward(self, t: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(y)


@CATALOGUE.add(normal(2, 3))
def subclassed_sequential() -> nn.Module:
    return _Subclassed(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))


@CATALOGUE.add(normal(2, 3))
def closure_over_tensors() -> tuple[Any, Any]:
    weight = torch.randn(3, 3, requires_grad=True)
    bias = torch.randn(3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(y @ weight + bias)

    return field, [weight]


def _linear(weight: Tensor, t: Tensor, y: Tensor, *, gain: float = 1.0) -> Tensor:
    return gain * torch.nn.functional.linear(y, weight)


@CATALOGUE.add(normal(2, 3))
def partial_of_a_function() -> tuple[Any, Any]:
    weight = torch.randn(3, 3, requires_grad=True)
    return functools.partial(_linear, weight, gain=-0.5), [weight]


@CATALOGUE.add(normal(2, 3))
def default_argument() -> tuple[Any, Any]:
    weight = torch.randn(3, requires_grad=True)

    def field(t: Tensor, y: Tensor, weight: Tensor = weight, power: int = 2) -> Tensor:
        return weight * y.pow(power)

    return field, [weight]


class _Model:
    def __init__(self) -> None:
        self.decay = torch.tensor([0.1, 0.5, 0.9], requires_grad=True)
        self.gain = 2.0

    def rate(self, t: Tensor, y: Tensor) -> Tensor:
        return -self.decay * y + self.gain * torch.sin(t)

    def __call__(self, t: Tensor, y: Tensor) -> Tensor:
        return self.rate(t, y) * 0.5

    @staticmethod
    def undamped(t: Tensor, y: Tensor) -> Tensor:
        return y.flip(-1) * 0.3


@CATALOGUE.add(normal(2, 3))
def bound_method() -> tuple[Any, Any]:
    model = _Model()
    return model.rate, [model.decay]


@CATALOGUE.add(normal(2, 3))
def callable_object() -> tuple[Any, Any]:
    model = _Model()
    return model, [model.decay]


@CATALOGUE.add(normal(2, 3))
def static_method() -> Any:
    return _Model.undamped


@CATALOGUE.add(normal(2, 3))
def bound_method_of_a_module() -> tuple[Any, Any]:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(3, 3)
            self.dynamics = nn.Linear(3, 3)

        def ode(self, t: Tensor, y: Tensor) -> Tensor:
            return self.dynamics(y).cos()

    model = Model()
    return model.ode, model.parameters()


RATES = torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64)


@CATALOGUE.add(normal(2, 3))
def global_tensor(t: Tensor, y: Tensor) -> Tensor:
    return RATES * y - y.abs() * y


@CATALOGUE.add(normal(2, 3))
def controlled() -> tuple[Any, Any]:
    """A wrapper that calls another field, as a controller or a reversed-time wrapper does."""
    inner = nn.Linear(4, 3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        control = -0.5 * y.sum(-1, keepdim=True)
        return -inner(torch.cat([y, control], dim=-1))

    return field, inner.parameters()


@CATALOGUE.add(normal(2, 3))
def reversed_time() -> nn.Module:
    class Reversed(nn.Module):
        def __init__(self, base: nn.Module) -> None:
            super().__init__()
            self.base_func = base

        def forward(self, s: Tensor, y: Tensor) -> Tensor:
            return -self.base_func(1.0 - s, y)

    class Base(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Linear(3, 3)

        def forward(self, t: Tensor, y: Tensor) -> Tensor:
            return self.net(y) * torch.exp(-t)

    return Reversed(Base())


@CATALOGUE.add(normal(2, 3))
def augmented_with_zeros() -> tuple[Any, Any]:
    """An augmented neural ODE whose extra channels are zero throughout."""
    net = nn.Linear(5, 3)

    def field(t: Tensor, y: Tensor) -> Tensor:
        extra = torch.zeros(*y.shape[:-1], 2, dtype=y.dtype, device=y.device)
        return net(torch.cat([y, extra], -1)).tanh()

    return field, net.parameters()


@CATALOGUE.add(normal(2, 4))
class SecondOrder(nn.Module):
    """A second-order neural ODE: position and velocity are halves of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.acceleration = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        cutoff = z.shape[1] // 2
        v = z[:, cutoff:]
        a = self.acceleration(z)
        return torch.cat((v, a), 1)
