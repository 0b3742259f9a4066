"""A path of polynomials, one for each piece between neighbouring knots."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Path(nn.Module):
    """A function of time that is a polynomial between neighbouring knots, for each channel.

    A number that is a knot belongs to the piece that begins there. Before the first knot and after the last
    one the first and the last piece go on, since solvers look past the ends of what they integrate over.

    The polynomials are made when the path is, of the values as they are then, and have their gradients: a
    path through values that change is to be made anew.

    Attributes:
        knots: The times between which the path is one polynomial, 1-D, ascending.
    """

    knots: Tensor
    coefficients: Tensor

    def __init__(self, knots: Tensor, coefficients: list[Tensor]) -> None:
        """Takes the coefficients of each piece, in the time since it began.

        Args:
            knots: As the attribute.
            coefficients: That of each power, from zero, of shape ``(..., len(knots) - 1, channels)``.
        """
        super().__init__()
        self.degree = len(coefficients) - 1
        self.register_buffer("knots", knots)
        # Side by side, so that one row holds all there is to know of a piece.
        self.register_buffer("coefficients", torch.cat(coefficients, -1))

    @property
    def grid_points(self) -> Tensor:
        """The knots, by the name that torchcde has for them."""
        return self.knots

    @property
    def interval(self) -> Tensor:
        """The first knot and the last one."""
        return torch.stack([self.knots[0], self.knots[-1]])

    def evaluate(self, t: Tensor | float) -> Tensor:
        """The path at times.

        Args:
            t: A number, or times of any shape.

        Returns:
            ``(..., *t.shape, channels)``, where the values had ``(..., length, channels)``. Differentiable in
            ``t`` and in the values.
        """
        since, powers = self._piece(t)
        value = powers[-1]
        for coefficient in powers[-2::-1]:
            value = value * since + coefficient
        return value

    def derivative(self, t: Tensor | float) -> Tensor:
        """Its derivative in time; arguments and shapes as for :meth:`evaluate`."""
        since, powers = self._piece(t)
        value = self.degree * powers[-1]
        for power in range(self.degree - 1, 0, -1):
            value = value * since + power * powers[power]
        return value

    def forward(self, t: Tensor | float) -> Tensor:
        """As :meth:`evaluate`."""
        return self.evaluate(t)

    def _piece(self, t: Tensor | float) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The time since the piece began, and its coefficients by power."""
        time = torch.as_tensor(t, dtype=self.knots.dtype, device=self.knots.device)
        index = torch.bucketize(time.detach(), self.knots, right=True).sub(1).clamp(0, len(self.knots) - 2)
        row = self.coefficients[..., index, :]
        return (time - self.knots[index]).unsqueeze(-1), row.chunk(self.degree + 1, -1)
