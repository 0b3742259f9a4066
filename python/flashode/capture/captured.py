"""A captured field, bound to one function for one solve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from flashode.capture.prologue import Prologue
from flashode.program import Program


@dataclass(frozen=True)
class Capture:
    """A Program that stands for a function at this moment.

    Made anew for each solve: it holds the function's tensors, which its cache does not.

    Attributes:
        program: the field of one trajectory; the same object each time the capture is found again.
        batched: True if ``y0.shape[0]`` trajectories of shape ``y0.shape[1:]`` are independent of each other;
            False if the whole state is one trajectory.
    """

    program: Program
    batched: bool
    prologue: Prologue
    slots: tuple[Tensor, ...]
    counters: tuple[tuple[dict[str, Any], str, int], ...]

    def parameters(self) -> list[Tensor]:
        """The Program's parameters as they are now.

        What the field computes from its own tensors alone is computed here with autograd on. Tensors that
        need no preparation are the function's own objects.

        Returns:
            contiguous tensors of the state's dtype, one for each of ``program.parameter_shapes``.
        """
        return self.prologue.run(self.slots)

    def count(self, evaluations: int) -> None:
        """Adds evaluations to the counters (``self.nfe += 1``) that the function keeps."""
        for attributes, name, amount in self.counters:
            attributes[name] += amount * evaluations
