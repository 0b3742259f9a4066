"""A field, and where a solve of it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from flashode.state import State, Structure, components

Field = Callable[[Any, Any], Any]


class Start(NamedTuple):
    """Where a solve starts: the first time, 0-d, of the state's dtype; and the last time, if known."""

    t: Tensor
    y: State
    end: float | None = None

    def copied(self) -> Start:
        """The same as tensors that are no inference tensors, which autograd would not take."""
        y = [part.detach().clone() for part in components(self.y)]
        return Start(self.t.detach().clone(), Structure.of(self.y).join(y), self.end)
