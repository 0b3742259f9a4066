"""Events: a solve ends at the first zero of a function of time and state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from flashode.errors import NonFiniteError
from flashode.state import Structure, components
from flashode.wording import misfit


@dataclass(frozen=True, eq=False)
class Event:
    """The user's event function, and which side of zero it starts from.

    Attributes:
        function: Of the user's time and state; returns a real tensor of any shape but an empty one.
        start: Gives the user's first time, 0-d, and initial state.
        dtype: The state's real dtype.
    """

    function: Callable[..., Any]
    start: Callable[[], tuple[torch.Tensor, Any]]
    dtype: torch.dtype

    @cached_property
    def signs(self) -> torch.Tensor:
        """Signs of its outputs at the start, in its shape and dtype, or ``dtype`` where its own is no float.

        They have no gradient. An output that starts as zero is there already. Asked for the first time before
        the state may change.

        Raises:
            TypeError: If the function returns no real tensor.
            ValueError: If what it returns is empty.
            NonFiniteError: If it is NaN.
        """
        t0, state = self.start()
        with torch.no_grad():
            # The function may write on what it gets.
            own = Structure.of(state).join([part.clone() for part in components(state)])
            signs = _outputs(self.function, t0, own, self.dtype).sign()
        if bool(torch.isnan(signs).any()):
            raise _undefined(t0)
        return signs

    def outputs(self, t: torch.Tensor, state: Any) -> torch.Tensor:
        """Its outputs times their signs at the start: each is positive until it crosses.

        Args:
            t: 0-d, the user's time.
            state: The user's state.

        Returns:
            1-D; differentiable in whatever the function makes it of.

        Raises:
            TypeError: If the function returns no real tensor.
            ValueError: If what it returns is empty.
            NonFiniteError: If it is NaN.
        """
        outputs = (_outputs(self.function, t, state, self.signs.dtype) * self.signs).reshape(-1)
        # The least of numbers is NaN if one of them is.
        if math.isnan(outputs.min().item()):
            raise _undefined(t)
        return outputs


def _outputs(function: Callable[..., Any], t: torch.Tensor, state: Any, dtype: torch.dtype) -> torch.Tensor:
    try:
        outputs = function(t, state)
    except TypeError as error:
        wrong = misfit(function, 2)
        if wrong is None:
            raise
        raise TypeError(f"event_fn must be a callable of (t, y), got {wrong}") from error
    if not isinstance(outputs, torch.Tensor):
        raise TypeError(f"event_fn must return a tensor, got {type(outputs).__name__}")
    if outputs.is_complex():
        raise TypeError(f"event_fn must return a real tensor, got {outputs.dtype}")
    if outputs.numel() == 0:
        raise ValueError(f"event_fn must return at least one number, got shape {tuple(outputs.shape)}")
    return as_numbers(outputs, dtype)


def as_numbers(outputs: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """An event function's outputs as floating-point numbers, in that dtype if they are none.

    True is 1 and False -1: zero would say of a condition that does not hold yet that the event is there.
    """
    if outputs.is_floating_point():
        return outputs
    numbers = outputs.to(dtype)
    return 2 * numbers - 1 if outputs.dtype == torch.bool else numbers


def _undefined(t: torch.Tensor) -> NonFiniteError:
    time = t.item()
    return NonFiniteError(f"event_fn returned NaN at t = {time:.9g}", origin="event", t=time)
