"""A captured field, bound to one function for one solve."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from flashode.capture.guards.guard_code import Counter
from flashode.capture.lowering.prologue import Prologue
from flashode.program import Program

# Sums of whole numbers below are exact.
_EXACT = 2.0**52


@dataclass(slots=True, eq=False)
class Capture:
    """A Program that stands for a function at this moment.

    Made anew for each solve: it holds the function's tensors, which its cache does not.

    Attributes:
        program: the field of one trajectory; the same object each time the capture is found again.
        batched: True if the trajectories along the front axis of ``y0``, or of all its components, are
            independent of each other; False if the whole state is one trajectory.
        names: what a user calls each of the function's tensors.
        carried: tensors of the function, ``(batch, ...)``, of which each trajectory reads its own slice, in
            the state's dtype: the Program's c.
        numbers: the places, as in ``counters``, of the Python numbers that it presumes to stay as they are.
        partial: whether there are times and states where the Program gives no number and the function does,
            or raises: what to do there is to call it.
    """

    program: Program
    batched: bool
    prologue: Prologue
    slots: tuple[Tensor, ...]
    counters: tuple[Counter, ...]
    names: tuple[str, ...] = ()
    carried: tuple[Tensor, ...] = ()
    numbers: frozenset[Any] = frozenset()
    partial: bool = False

    def parameters(self) -> list[Tensor]:
        """The Program's parameters as they are now, contiguous and of the state's dtype, with autograd on.

        Tensors that need no preparation are the function's own objects.
        """
        return self.prologue.run(self.slots)

    def count(self, evaluations: int) -> None:
        """Adds evaluations to the counters (``self.nfe += 1``) of the function, numbers or tensors."""
        for holder, place, amount in self.counters:
            if isinstance(holder, Tensor):
                with torch.no_grad():
                    holder.add_(amount * evaluations)
            elif isinstance(holder, types.CellType):
                holder.cell_contents = _counted(holder.cell_contents, amount, evaluations)
            else:
                holder[place] = _counted(holder[place], amount, evaluations)


def _counted(count: Any, amount: float, evaluations: int) -> Any:
    """A count after so many evaluations, rounded as often as where each adds to it."""
    if isinstance(count, float) and not (count.is_integer() and abs(count) < _EXACT):
        for _ in range(evaluations):
            count += amount
        return count
    return count + amount * evaluations
