"""Where a solve stops by itself: at the first zero of a function of time and state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from flashode.errors import NonFiniteError
from flashode.state import Structure, components


@dataclass(frozen=True, eq=False)
class Event:
    """The user's event function, and which side of zero it starts from.

    Attributes:
        function: Of the user's time and state; returns a real tensor of any shape but an empty one.
        signs: Signs of its outputs at the start, in its shape and dtype (in the state's real dtype where its
            own is no floating-point one); without a gradient. An output that starts as zero is there already.
    """

    function: Callable[..., Any]
    signs: torch.Tensor

    def value(self, t: torch.Tensor, state: Any) -> torch.Tensor:
        """The least of its outputs times their signs at the start: positive until the first one crosses.

        Args:
            t: 0-d, the user's time.
            state: The user's state.

        Returns:
            0-d; differentiable in whatever the function makes it of.

        Raises:
            TypeError: If the function returns no real tensor.
            ValueError: If what it returns is empty.
            NonFiniteError: If it is NaN.
        """
        outputs = _outputs(self.function, t, state, self.signs.dtype) * self.signs
        least = outputs.min() if outputs.numel() > 1 else outputs.reshape(())
        # The least of numbers is NaN if one of them is.
        if math.isnan(least.item()):
            raise _undefined(t)
        return least


def make_event(function: Any, t0: torch.Tensor, state: Any, dtype: torch.dtype) -> Event:
    """Ask the event function for the signs of its outputs at the start.

    Args:
        function: What the user gave as ``event_fn``.
        t0: 0-d, the user's first time; the function may write on it.
        state: The user's initial state.
        dtype: The state's real dtype.

    Raises:
        TypeError: If it is no function or returns no real tensor.
        ValueError: If what it returns is empty.
        NonFiniteError: If it is NaN.
    """
    if not callable(function):
        raise TypeError(f"event_fn must be a callable of (t, y) or None, got {type(function).__name__}")
    with torch.no_grad():
        # The function may write on what it gets.
        own = Structure.of(state).join([part.clone() for part in components(state)])
        signs = _outputs(function, t0, own, dtype).sign()
    if bool(torch.isnan(signs).any()):
        raise _undefined(t0)
    return Event(function, signs)


def _outputs(function: Callable[..., Any], t: torch.Tensor, state: Any, dtype: torch.dtype) -> torch.Tensor:
    outputs = function(t, state)
    if not isinstance(outputs, torch.Tensor):
        raise TypeError(f"event_fn must return a tensor, got {type(outputs).__name__}")
    if outputs.is_complex():
        raise TypeError(f"event_fn must return a real tensor, got {outputs.dtype}")
    if outputs.numel() == 0:
        raise ValueError(f"event_fn must return at least one number, got shape {tuple(outputs.shape)}")
    return outputs if outputs.is_floating_point() else outputs.to(dtype)


def _undefined(t: torch.Tensor) -> NonFiniteError:
    time = t.item()
    return NonFiniteError(f"event_fn returned NaN at t = {time:.9g}", origin="event", t=time)
