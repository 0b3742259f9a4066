"""The workloads by which speed is judged, one row of the table each.

All are float32 with one step size for the whole batch. A field and its state are made afresh from seed 0.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

SEED = 0
State = Tensor | tuple[Tensor, ...]


@dataclass(frozen=True)
class Workload:
    """One row: what is solved, from where, at which times, and how closely."""

    name: str
    summary: str
    make_field: Callable[[], nn.Module]
    make_state: Callable[[], State]  # drawn after the field, from the same stream
    times: Tensor
    rtol: float = 1e-7
    atol: float = 1e-9
    method: str = "dopri5"
    options: dict[str, object] = field(default_factory=dict)
    random: bool = False  # whether the field draws numbers

    def describe(self) -> str:
        """One line with everything that the row fixes."""
        tolerances = f"rtol {self.rtol:g}, atol {self.atol:g}"
        return f"{self.summary}; {self.method}, {tolerances}, float32, seed {SEED}"

    def make(self) -> tuple[nn.Module, State]:
        """The field and the initial state. The global random state is left as it was."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(SEED)
            return self.make_field(), self.make_state()


class Spiral(nn.Module):
    """A linear spiral, slowly inward."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2, bias=False)
        self.linear.weight.data = torch.tensor([[-0.1, -1.0], [1.0, -0.1]])

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, 2)."""
        rate: Tensor = self.linear(y)
        return rate


class CubicNetwork(nn.Module):
    """The network of torchdiffeq's first example: a tanh layer on the cubes of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))
        for layer in self.net:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.1)
                nn.init.zeros_(layer.bias)
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, 2)."""
        self.nfe += 1
        rate: Tensor = self.net(y**3)
        return rate


class PlanarFlow(nn.Module):
    """A continuous normalizing flow: planar layers side by side, whose weights a network makes from t.

    The state is a point with its log-density, which changes by minus the divergence (Chen et al., "Neural
    Ordinary Differential Equations", NeurIPS 2018, section 4).
    """

    def __init__(self, dimensions: int, hidden: int, width: int) -> None:
        super().__init__()
        self.dimensions, self.width = dimensions, width
        outputs = width * (3 * dimensions + 1)
        layers = [nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()]
        self.hyper = nn.Sequential(*layers, nn.Linear(hidden, outputs))

    def forward(self, t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """The rates of points (batch, dimensions) and of log-densities (batch, 1)."""
        z = state[0]
        size = self.width * self.dimensions
        with torch.enable_grad():
            z.requires_grad_(True)
            into, out, gate, bias = self.hyper(t.reshape(1)).split([size, size, size, self.width])
            weights = into.view(self.width, self.dimensions)
            outward = (out * torch.sigmoid(gate)).view(self.width, self.dimensions)
            rate = torch.tanh(z @ weights.T + bias) @ outward / self.width
            divergence = torch.zeros_like(z[:, :1])
            for i in range(self.dimensions):
                (row,) = torch.autograd.grad(rate[:, i].sum(), z, create_graph=True)
                divergence = divergence + row[:, i : i + 1]
        return rate, -divergence


class Network(nn.Module):
    """A multilayer perceptron of the given widths."""

    def __init__(self, *widths: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), activation()]
        self.net = nn.Sequential(*layers[:-1])
        self.nfe = 0

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, widths[0])."""
        self.nfe += 1
        rate: Tensor = self.net(y)
        return rate


_DEMO_TIMES = torch.linspace(0.0, 0.25, 10)

_ROWS = (
    Workload(
        name="spiral",
        summary="linear 2×2, one trajectory, 100 times",
        make_field=Spiral,
        make_state=lambda: torch.ones(2),
        times=torch.linspace(0.0, 25.0, 100),
    ),
    Workload(
        name="demo",
        summary="2-50-2 tanh on cubes, 20 trajectories, 10 times",
        make_field=CubicNetwork,
        make_state=lambda: 1.5 * torch.randn(20, 1, 2),
        times=_DEMO_TIMES,
    ),
    Workload(
        name="demo_rk4",
        summary="demo with nine steps of rk4",
        make_field=CubicNetwork,
        make_state=lambda: 1.5 * torch.randn(20, 1, 2),
        times=_DEMO_TIMES,
        method="rk4",
    ),
    Workload(
        name="latent",
        summary="4-20-20-4 ELU, 1000 trajectories, 100 times",
        make_field=lambda: Network(4, 20, 20, 4, activation=lambda: nn.ELU(inplace=True)),
        make_state=lambda: torch.randn(1000, 4),
        times=torch.linspace(0.0, 6 * math.pi, 100),
    ),
    Workload(
        name="wide",
        summary="64-64-64-64 tanh, 256 trajectories",
        make_field=lambda: Network(64, 64, 64, 64, activation=nn.Tanh),
        make_state=lambda: torch.randn(256, 64),
        times=torch.tensor([0.0, 1.0]),
        rtol=1e-5,
        atol=1e-5,
    ),
    Workload(
        name="flow",
        summary="3-64-64-3 tanh, 4096 trajectories, 20 times",
        make_field=lambda: Network(3, 64, 64, 3, activation=nn.Tanh),
        make_state=lambda: torch.randn(4096, 3),
        times=torch.linspace(0.0, 2.0, 20),
        rtol=1e-5,
        atol=1e-5,
    ),
    Workload(
        name="cnf",
        summary="planar flow, hypernetwork 1-32-32, width 64, with its divergence, 512 points, backwards",
        make_field=lambda: PlanarFlow(2, 32, 64),
        make_state=lambda: (torch.randn(512, 2), torch.zeros(512, 1)),
        times=torch.tensor([10.0, 0.0]),
        rtol=1e-5,
        atol=1e-5,
    ),
    Workload(
        name="batch1",
        summary="8-64-64-8 tanh, one trajectory",
        make_field=lambda: Network(8, 64, 64, 8, activation=nn.Tanh),
        make_state=lambda: torch.randn(1, 8),
        times=torch.tensor([0.0, 1.0]),
        rtol=1e-6,
        atol=1e-6,
    ),
)

WORKLOADS = {row.name: row for row in _ROWS}
