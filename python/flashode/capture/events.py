"""An event function as a field, so that it can be captured as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from flashode.state import State


def event_field(
    function: Callable[..., Any],
    as_numbers: Callable[[Tensor, torch.dtype], Tensor],
    signs: Tensor,
    y0: State,
) -> Callable[[Tensor, Any], State]:
    """A field whose every element is the event's value: the least output times its sign at the start.

    Made afresh for each solve, it leads to the user's function, which is watched as any other. Nothing is
    differentiated through it.

    Args:
        function: the user's function of time and state; returns a tensor.
        as_numbers: makes floating-point numbers of that, of a dtype if they are none.
        signs: of its outputs at the start.
        y0: a state.
    """

    def of_tensor(t: Tensor, y: Tensor) -> Tensor:
        least: Tensor = (as_numbers(function(t, y).detach(), signs.dtype) * signs).min()
        return least.expand(y.shape)

    def of_tuple(t: Tensor, y: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        least: Tensor = (as_numbers(function(t, y).detach(), signs.dtype) * signs).min()
        return tuple([least.expand(part.shape) for part in y])

    return of_tensor if isinstance(y0, Tensor) else of_tuple
