"""Gradients in parameters: sums over all trajectories, of groups of tiles first, each with its own.

Groups do not depend on how many workers there are, and so the bits of the sums do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from torch import Tensor, from_numpy, split

from flashode.engines.numba.layout import address_of

# Groups of a batch, and bytes of all their sums.
_MOST_GROUPS = 16
_MOST_BYTES = 64 * 2**20


def most_groups(numbers: int) -> int:
    """How many groups there may be, each with so many numbers."""
    return max(1, min(_MOST_GROUPS, _MOST_BYTES // max(8 * numbers, 1)))


class GroupedParameters:
    """Where the sums of each group are, for gradients of some sizes.

    Attributes:
        sizes: Numbers of each parameter's gradient; 0 where none is wanted.
        total: All of them.
        groups: How many groups there are.
        group_tiles: Tiles of each.
        places: Bytes from the first sum, ``(groups, parameters)``.
        wanted: Which parameters have any.
    """

    def __init__(self, sizes: Sequence[int], tiles: int) -> None:
        self.sizes, self.total = list(sizes), sum(sizes)
        self.group_tiles = -(-tiles // most_groups(self.total))
        self.groups = -(-tiles // self.group_tiles)
        begins = np.array(list(accumulate(sizes, initial=0))[:-1] or [0], np.int64)
        self.places = 8 * (self.total * np.arange(self.groups)[:, None] + begins)
        self.wanted = np.array([size > 0 for size in sizes] or [False])


class ParameterSums:
    """Doubles for each group and wanted parameter.

    Attributes:
        places: Addresses, ``(groups, parameters)``; 0 where no gradient is wanted.
    """

    def __init__(self, grouped: GroupedParameters) -> None:
        self._grouped = grouped
        self._sums = np.zeros((grouped.groups, grouped.total))
        self.places = np.where(grouped.wanted, grouped.places + address_of(self._sums), 0)

    def hand_over(self, gradients: Sequence[Tensor | None]) -> None:
        """Writes the gradients."""
        total = from_numpy(self._sums[0] if len(self._sums) == 1 else self._sums.sum(0))
        for gradient, part in zip(gradients, split(total, self._grouped.sizes), strict=True):
            if gradient is not None:
                gradient.copy_(part.view(gradient.shape))
