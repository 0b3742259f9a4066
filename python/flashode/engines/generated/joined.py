"""Gradients in transposes, which are added to those in what they transpose."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def joined(size: int, joins: Sequence[tuple[int, int, int, int]]) -> tuple[Tensor, Tensor]:
    """Of each of so many numbers, which it is the sum of: itself first, then what joins it.

    Args:
        size: How many there are.
        joins: Transposes, each as its first number, that of what it transposes, and the shape of this.

    Returns:
        Where those of each number start and the last ones end, and all of them.
    """
    numbers = torch.arange(size, device="cpu")
    to = numbers
    for begin, of, rows, columns in joins:
        moved = numbers.clone()
        own = torch.arange(of, of + rows * columns, device="cpu").view(rows, columns)
        moved[begin : begin + rows * columns] = own.t().flatten()
        to = moved[to]
    sources = (2 * to + (to != numbers)).argsort(stable=True)
    counts = torch.bincount(to, minlength=size)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]), sources
