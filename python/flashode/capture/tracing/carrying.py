"""Tensors that a function owns with one slice for each trajectory: a noise vector, a condition, a mask.

Such a tensor has the batch size in its shape, so that the function fails at any other. To be traced at a
second size the function is handed rows of the tensor in its place, wherever it hands the tensor itself to
torch. That a front axis of the batch's size counts trajectories is no more than a guess: it is good if the
two traces make one graph that holds for every size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Each costs two traces, but only where the function fails at another batch size.
MAX_GUESSES = 8


def guesses(tensors: Sequence[Tensor], size: int) -> list[tuple[int, ...]]:
    """Which of a function's tensors may have a slice for each of ``size`` trajectories, the best guess first.

    Where a weight has as many rows as there are trajectories, a guess that leaves it out is the right one.
    """
    if size == 1:
        return []
    fitting = [slot for slot, tensor in enumerate(tensors) if _fits(tensor, size)]
    plain = [slot for slot in fitting if not isinstance(tensors[slot], nn.Parameter)]
    subsets = (some for count in range(len(fitting), 0, -1) for some in combinations(fitting, count))
    ordered = [tuple(fitting), tuple(plain), *islice(subsets, MAX_GUESSES)]
    return [guess for guess in dict.fromkeys(ordered) if guess][:MAX_GUESSES]


def _fits(tensor: Tensor, size: int) -> bool:
    numbers = tensor.is_floating_point() or tensor.dtype is torch.bool
    return numbers and tensor.ndim > 0 and tensor.shape[0] == size and tensor.numel() > 0


class Carrying(TorchFunctionMode):
    """Puts other tensors in the place of some in all that is handed to torch, their metadata included."""

    def __init__(self, places: Mapping[int, Tensor]) -> None:
        """Takes what to put in the place of each tensor, by the tensor's ``id``."""
        super().__init__()
        self._places = places

    def __torch_function__(self, func: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._places:
            args, kwargs = self.placed(args), self.placed(kwargs)
        return func(*args, **(kwargs or {}))

    def placed(self, item: Any) -> Any:
        """What is handed on, or returned, with the tensors replaced."""
        if isinstance(item, Tensor):
            return self._places.get(id(item), item)
        if type(item) in (list, tuple):
            return type(item)(map(self.placed, item))
        if type(item) is dict:
            return {key: self.placed(value) for key, value in item.items()}
        return item
