"""Multilayer perceptrons, and the linear field that is the least of them."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.tasks.fields import ArrayField, Field

SPIRAL = ((-0.1, -1.0), (1.0, -0.1))

_MODULES: dict[str, Callable[[], nn.Module]] = {"tanh": nn.Tanh, "elu": partial(nn.ELU, inplace=True)}


class Linear(nn.Module):
    """A linear field without bias, of the given matrix."""

    def __init__(self, matrix: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.linear = nn.Linear(len(matrix), len(matrix), bias=False)
        self.linear.weight.data = torch.tensor(matrix)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, dimensions)."""
        rate: Tensor = self.linear(y)
        return rate


class Network(nn.Module):
    """A multilayer perceptron of the given widths; it counts its evaluations as torchdiffeq's examples do."""

    def __init__(self, *widths: int, activation: str, cubes: bool = False, std: float | None = None) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), _MODULES[activation]()]
        self.net = nn.Sequential(*layers[:-1])
        self.cubes = cubes
        self.nfe = 0
        if std is not None:
            for layer in self.net:
                if isinstance(layer, nn.Linear):
                    nn.init.normal_(layer.weight, std=std)
                    nn.init.zeros_(layer.bias)

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, widths[0])."""
        self.nfe += 1
        rate: Tensor = self.net(y**3 if self.cubes else y)
        return rate


def linear(matrix: Sequence[Sequence[float]]) -> Field:
    """dy/dt = A y."""
    return Field(partial(Linear, matrix), _linear_arrays)


def network(*widths: int, activation: str = "tanh", cubes: bool = False, std: float | None = None) -> Field:
    """A multilayer perceptron of the state, or of its cubes.

    Args:
        *widths: Of the layers, the state's first and last.
        activation: "tanh" or "elu".
        cubes: Whether the network is given y³.
        std: Standard deviation of the weights, biases being zero; None for torch's default initialisation.
    """
    return Field(
        partial(Network, *widths, activation=activation, cubes=cubes, std=std),
        partial(_network_arrays, activation=activation, cubes=cubes),
    )


def _linear_arrays(xp: Any) -> ArrayField:
    return lambda parameters, t, y: y @ parameters[0].T


def _network_arrays(xp: Any, activation: str, cubes: bool) -> ArrayField:
    def elu(x: Any) -> Any:
        return xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0)))

    activate = {"tanh": xp.tanh, "elu": elu}[activation]

    def field(parameters: Sequence[Any], t: Any, y: Any) -> Any:
        x = y**3 if cubes else y
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            x = activate(x @ weight.T + bias)
        return x @ parameters[-2].T + parameters[-1]

    return field
