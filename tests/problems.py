"""Fields that the tests solve: analytic where possible, Modules, counting their evaluations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def values(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    """Normally distributed numbers, the same at each call."""
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(shape, dtype=torch.float64, generator=generator)


def layer(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer with weights of order one, the same at each call."""
    linear = nn.Linear(inputs, outputs, dtype=torch.float64)
    with torch.no_grad():
        for i, p in enumerate(linear.parameters()):
            p.copy_(0.6 * values(*p.shape, seed=17 + i))
    return linear


def parts(state: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The components of a state."""
    return (state,) if isinstance(state, Tensor) else state


class Counting(nn.Module):
    """A field that counts its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.nfe = 0


class Network(Counting):
    """A small time-dependent network on (*batch, features)."""

    def __init__(self, features: int = 3, width: int = 8, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.inner = nn.Linear(features, width, dtype=dtype)
        self.outer = nn.Linear(width, features, dtype=dtype)
        for p in self.parameters():
            p.data = (0.5 * torch.randn(p.shape, dtype=torch.float64, generator=generator)).to(dtype)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return torch.cos(t) * self.outer(torch.tanh(self.inner(y))) - 0.3 * y


class Scalar(Counting):
    """An element-wise nonlinear field, for states of any shape."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7, dtype=dtype))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return torch.sin(2 * t) - self.rate * y * torch.cos(y)


class Pair(Counting):
    """Two coupled components of different shape, as in a normalizing flow."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.net = Network(dtype=dtype)
        self.rate = nn.Parameter(torch.tensor([0.4], dtype=dtype))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        self.nfe += 1
        y, z = state
        return self.net(t, y), self.rate * y.sum(dim=-1, keepdim=True) - 0.1 * z


class ComplexRotation(Counting):
    """dz/dt = (i w - d) z with parameters w and d."""

    def __init__(self) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.tensor(1.3, dtype=torch.float64))
        self.damping = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, t: Tensor, z: Tensor) -> Tensor:
        self.nfe += 1
        return torch.complex(-self.damping, self.frequency) * z


class Bell(Counting):
    """y' = -2 t y**2 with y(0) = 1: y = 1 / (1 + t**2)."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return -2 * t * y * y


class Decay(Counting):
    """y' = -y**3 / 2 with y(0) = 1: y = 1 / sqrt(1 + t)."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return -0.5 * y * y * y


class Spiral(Counting):
    """z' = A z with A = [[-0.1, -1], [1, -0.1]]."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False, dtype=dtype)
        self.linear.weight.data = torch.tensor([[-0.1, -1.0], [1.0, -0.1]], dtype=dtype)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return self.linear(y)


class Whirl(Counting):
    """y' = 2 |y|**2 J y, a rotation whose speed depends on the state: from (1, 0), y = (cos 2t, sin 2t)."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        radius = (y * y).sum(dim=-1, keepdim=True)
        return 2 * radius * torch.stack([-y[..., 1], y[..., 0]], dim=-1)


class Logistic(Counting):
    """y' = y (1 - y) with y(0) = 0.1: y = 1 / (1 + 9 exp(-t))."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return y * (1 - y)


class Forced(Counting):
    """y' = cos t - y with y(0) = 0: y = (cos t + sin t - exp(-t)) / 2."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        self.nfe += 1
        return torch.cos(t) - y


@dataclass(frozen=True)
class Analytic:
    """A problem whose solution is known.

    Attributes:
        field: Makes the field.
        y0: State at time 0, float64.
        solution: The state at a time, shape of y0 behind the time's.
    """

    field: Callable[[], Counting]
    y0: Tensor
    solution: Callable[[Tensor], Tensor]


def _spiral_solution(t: Tensor) -> Tensor:
    decay = torch.exp(-0.1 * t)
    return torch.stack([decay * (t.cos() - t.sin()), decay * (t.sin() + t.cos())], dim=-1)


ANALYTIC: dict[str, Analytic] = {
    "bell": Analytic(Bell, torch.ones(1, dtype=torch.float64), lambda t: 1 / (1 + t[:, None] ** 2)),
    "decay": Analytic(Decay, torch.ones(1, dtype=torch.float64), lambda t: (1 + t[:, None]) ** -0.5),
    "forced": Analytic(
        Forced, torch.zeros(1, dtype=torch.float64), lambda t: 0.5 * (t.cos() + t.sin() - (-t).exp())[:, None]
    ),
    "logistic": Analytic(
        Logistic, torch.full((1,), 0.1, dtype=torch.float64), lambda t: 1 / (1 + 9 * (-t[:, None]).exp())
    ),
    "spiral": Analytic(Spiral, torch.ones(2, dtype=torch.float64), _spiral_solution),
    "whirl": Analytic(
        Whirl,
        torch.tensor([1.0, 0.0], dtype=torch.float64),
        lambda t: torch.stack([(2 * t).cos(), (2 * t).sin()], dim=-1),
    ),
}
