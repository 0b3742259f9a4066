"""An event function as a field, so that it can be captured as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# An event function may give more numbers than a state has: so many more.
SPARE = 16

EventField = Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, ...]]


def event_field(
    function: Callable[..., Any], as_numbers: Callable[[Tensor, torch.dtype], Tensor], is_tuple: bool
) -> EventField:
    """A field of the components of a state and of ``SPARE`` elements, whose rates are the event's outputs.

    The outputs come first; where they are fewer than the elements, the first of them fills the rest. Made
    afresh for each solve, it leads to the user's function, which is watched as any other. Nothing is
    differentiated through it.

    Args:
        function: the user's function, of time and of a state that is a tuple if ``is_tuple``.
        as_numbers: makes floating-point numbers of what it returns, of a dtype if they are none.
        is_tuple: see above.
    """

    def field(t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        *parts, spare = state
        outputs = function(t, tuple(parts) if is_tuple else parts[0]).detach()
        outputs = as_numbers(outputs, spare.dtype).reshape(-1)
        room = sum([part.numel() for part in state])
        if outputs.numel() > room:
            raise ValueError(f"it returns {outputs.numel()} numbers, more than are watched by compiled code")
        filled = torch.cat([outputs, outputs[:1].expand(room - outputs.numel())])
        # Not torch.split, which is Python code that might look into whatever the user's function holds.
        rates, start = [], 0
        for part in state:
            end = start + part.numel()
            rates.append(filled[start:end].view(part.shape))
            start = end
        return tuple(rates)

    return field
