"""A continuous normalizing flow whose weights a network makes from the time."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.tasks.fields import ArrayField, Field


class PlanarFlow(nn.Module):
    """Planar layers side by side, and the log-density that they carry along.

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


def planar_flow(dimensions: int, hidden: int, width: int) -> Field:
    """A planar flow with a hypernetwork t → 1-hidden-hidden → its weights."""
    arrays = partial(_planar_arrays, dimensions=dimensions, width=width)
    return Field(partial(PlanarFlow, dimensions, hidden, width), arrays, autodiff=True)


def _planar_arrays(xp: Any, dimensions: int, width: int) -> ArrayField:
    import jax

    def field(parameters: Sequence[Any], t: Any, state: Any) -> Any:
        x = xp.reshape(xp.asarray(t, parameters[0].dtype), (1,))
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            x = xp.tanh(weight @ x + bias)
        weights = parameters[-2] @ x + parameters[-1]
        size = width * dimensions
        into, out, gate, bias = xp.split(weights, [size, 2 * size, 3 * size])
        weights = into.reshape(width, dimensions)
        outward = (out * jax.nn.sigmoid(gate)).reshape(width, dimensions)

        def rate_of(z: Any) -> Any:
            return xp.tanh(z @ weights.T + bias) @ outward / width

        rate, backwards = jax.vjp(rate_of, state[0])
        divergence = 0.0
        for i in range(dimensions):
            (row,) = backwards(xp.zeros_like(rate).at[:, i].set(1.0))
            divergence = divergence + row[:, i : i + 1]
        return rate, -divergence

    return field
