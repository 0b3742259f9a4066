"""The polynomials of each kind of path, from the values at its knots."""

from __future__ import annotations

import torch
from torch import Tensor

from flashode.paths.checks import checked, filled, filled_at_ends, times_between
from flashode.paths.path import Path


class Linear(Path):
    """Straight lines between neighbouring values."""

    def __init__(self, t: Tensor, values: Tensor) -> None:
        """Makes the lines.

        Args:
            t: Times of the values, 1-D, strictly increasing, at least two; of the values' dtype and device.
            values: At these times, ``(..., length, channels)``. Differentiable. NaN stands for what is
                missing, which lines between the observations of its channel fill; before the first and after
                the last one stands that one, and zero in a channel without any.

        Raises:
            TypeError: If one of the two is no floating-point tensor.
            ValueError: If shapes, dtypes or devices do not fit, ``t`` does not increase or requires grad, or
                a value is infinite.
        """
        t, values = checked(t, values)
        values = filled(t, values)
        super().__init__(t, [values[..., :-1, :], values.diff(dim=-2) / times_between(t)])


class Rectilinear(Path):
    """Time goes on and the values stay, then they go on to the next ones and time stays, in equal halves.

    Its first channel is the time, the others are those of the values; its knots are those of ``t`` and the
    middles between them. Up to the middle of a piece it depends on no later value.
    """

    def __init__(self, t: Tensor, values: Tensor) -> None:
        """Makes the lines; arguments and errors as of :class:`Linear`."""
        t, values = checked(t, values)
        knots = torch.stack([t[:-1], t[:-1] + 0.5 * t.diff()], -1).flatten()
        knots = torch.cat([knots, t[-1:]])
        if not bool((knots[1:] > knots[:-1]).all()):
            raise ValueError(
                f"t must leave room for a number between each two of its own, got {t.dtype} ones"
            )
        data = filled(t, values).repeat_interleave(2, -2)
        time = t.unsqueeze(-1).repeat_interleave(2, -2).expand(*data.shape[:-1], 1)
        # Of each two the second has the next time already.
        points = torch.cat([time[..., 1:, :], data[..., :-1, :]], -1)
        super().__init__(knots, [points[..., :-1, :], points.diff(dim=-2) / times_between(knots)])


class Hermite(Path):
    """Cubics with backward differences: at a knot their slope is that of the line from the knot before.

    At the first knot it is that of the first line.
    """

    def __init__(self, t: Tensor, values: Tensor) -> None:
        """Makes the cubics; arguments and errors as of :class:`Linear`."""
        t, values = checked(t, values)
        values = filled(t, values)
        slopes = values.diff(dim=-2) / times_between(t)
        before = torch.cat([slopes[..., :1, :], slopes], -2)
        super().__init__(t, _hermite(t, values, before))


class Cubic(Path):
    """The natural cubic spline: twice continuously differentiable, without curvature at its ends."""

    def __init__(self, t: Tensor, values: Tensor) -> None:
        """Makes the cubics; arguments and errors as of :class:`Linear`, but for values that are missing.

        The spline of a channel goes through its observations alone; but before the first and after the last
        one that one is repeated, and a channel without any is zero.
        """
        t, values = checked(t, values)
        values = filled_at_ends(values)
        if not bool(values.isnan().any()):
            super().__init__(t, _hermite(t, values, _natural_slopes(t, values)))
            return
        values, slopes = _through_observations(t, values)
        super().__init__(t, _hermite(t, values, slopes))


def _hermite(t: Tensor, values: Tensor, slopes: Tensor) -> list[Tensor]:
    """The cubics that have these values and slopes at their ends."""
    length = times_between(t)
    start, rise = values[..., :-1, :], values.diff(dim=-2) / length
    first, last = slopes[..., :-1, :], slopes[..., 1:, :]
    return [start, first, (3 * rise - 2 * first - last) / length, (first + last - 2 * rise) / length**2]


def _natural_slopes(t: Tensor, values: Tensor) -> Tensor:
    """The slopes at which second derivatives are continuous, and zero at both ends.

    They solve a tridiagonal system: with h the lengths of the pieces and r the rises over them,
    s[i-1]/h[i-1] + 2 (1/h[i-1] + 1/h[i]) s[i] + s[i+1]/h[i] = 3 (r[i-1]/h[i-1] + r[i]/h[i]).
    """
    inverse = 1.0 / t.diff()
    rises = 3.0 * values.diff(dim=-2) * (inverse**2).unsqueeze(-1)
    none = torch.zeros_like(rises[..., :1, :])
    right = torch.cat([rises, none], -2) + torch.cat([none, rises], -2)
    diagonal = 2.0 * (torch.nn.functional.pad(inverse, (0, 1)) + torch.nn.functional.pad(inverse, (1, 0)))
    # Elimination without pivots, for the diagonal outweighs the rest.
    pivots, rows = [diagonal[0]], [right[..., 0, :]]
    for i in range(1, len(t)):
        factor = inverse[i - 1] / pivots[-1]
        pivots.append(diagonal[i] - factor * inverse[i - 1])
        rows.append(right[..., i, :] - factor * rows[-1])
    slopes = [rows[-1] / pivots[-1]]
    for i in range(len(t) - 2, -1, -1):
        slopes.append((rows[i] - inverse[i] * slopes[-1]) / pivots[i])
    return torch.stack(slopes[::-1], -2)


def _through_observations(t: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The values and slopes at all knots of splines through what has been observed."""
    channels = values.transpose(-1, -2).reshape(-1, len(t))
    patterns, of_channel = torch.unique(channels.isnan(), dim=0, return_inverse=True)
    order, columns = [], []
    for k, missing in enumerate(patterns):
        (places,) = (of_channel == k).nonzero(as_tuple=True)
        own = channels[places][:, ~missing].T
        order.append(places)
        spline = Path(t[~missing], _hermite(t[~missing], own, _natural_slopes(t[~missing], own)))
        known = torch.stack([spline.evaluate(t), spline.derivative(t)])
        # To the bit, where there are observations.
        columns.append(torch.cat([known[:1].index_copy(1, (~missing).nonzero()[:, 0], own[None]), known[1:]]))
    arranged = torch.cat(columns, -1)[..., torch.cat(order).argsort()]
    shape = (*values.shape[:-2], values.shape[-1], len(t))
    found, slopes = (part.T.reshape(shape).transpose(-1, -2) for part in arranged)
    return found, slopes
