"""Fields written by hand."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from flashode.bench.tasks.fields import ArrayField, Field

SIGMA, BETA = 10.0, 8.0 / 3.0


class Lorenz(nn.Module):
    """The Lorenz system; the fourth number of the state is the trajectory's own ρ, which stays."""

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        """The rate of change of y, of shape (*, 4)."""
        a, b, c, rho = y.unbind(-1)
        rates = [SIGMA * (b - a), a * (rho - c) - b, a * b - BETA * c, torch.zeros_like(rho)]
        return torch.stack(rates, -1)


def _lorenz_arrays(xp: Any) -> ArrayField:
    def field(parameters: Sequence[Any], t: Any, y: Any) -> Any:
        a, b, c, rho = (y[..., i] for i in range(4))
        rates = [SIGMA * (b - a), a * (rho - c) - b, a * b - BETA * c, xp.zeros_like(rho)]
        return xp.stack(rates, -1)

    return field


LORENZ = Field(Lorenz, _lorenz_arrays)
