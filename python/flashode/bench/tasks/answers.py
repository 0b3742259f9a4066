"""The answer of a contender, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Answer:
    """A solution, and for training the gradients of the parameters in the order of the module's.

    Attributes:
        states: Of shape (times, *state); the parts of a tuple joined along the last dimension.
        gradients: Of the mean absolute state, one for each parameter.
    """

    states: Array
    gradients: tuple[Array, ...] = ()

    @classmethod
    def of_tensors(cls, states: Tensor, gradients: Sequence[Tensor] = ()) -> Answer:
        """The answer that torch tensors hold."""

        def array(tensor: Tensor) -> Array:
            return tensor.detach().to("cpu", torch.float64).numpy()

        return cls(array(states), tuple(map(array, gradients)))

    def error(self, reference: Answer) -> float:
        """The largest difference of the states, in units of the largest state."""
        return _difference(self.states, reference.states)

    def gradient_error(self, reference: Answer) -> float | None:
        """The largest difference of gradients, each tensor in units of its own largest; None without any."""
        if not self.gradients:
            return None
        pairs = zip(self.gradients, reference.gradients, strict=True)
        return max(_difference(got, right) for got, right in pairs)


def _difference(got: Array, right: Array) -> float:
    if got.shape != right.shape:
        raise ValueError(f"an answer of shape {got.shape} where {right.shape} is right")
    return float(np.max(np.abs(got - right)) / np.max(np.abs(right)))
