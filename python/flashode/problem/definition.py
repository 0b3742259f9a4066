"""The normalised problem: what every engine solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from flashode import notices
from flashode.methods import Method, Tableau
from flashode.problem.callbacks import NO_CALLBACKS, Callbacks
from flashode.problem.event import Event
from flashode.problem.integration import Integration
from flashode.problem.options import Options
from flashode.problem.settings import Settings
from flashode.problem.times import OutputTimes
from flashode.state import ORDER_OF_ARGUMENTS, Structure, broadcast
from flashode.wording import misfit

_BROADCAST = "fixed-step methods broadcast it, adaptive ones refuse it"
# (0-d solver time, flat real state) -> (rates in solver time, Jacobian)
Linearise = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


# Never changed, and yet not frozen: at every solve that would take three times as long to make.
@dataclass(eq=False, slots=True)
class Problem:
    """An initial value problem in solver time, which increases.

    Attributes:
        settings: All of it that is no tensor and no function.
        func: The user's function of the user's time and state.
        y0: Initial state in the user's shape; for a tuple state the 1-D concatenation of its components.
        t: 1-D, strictly increasing output times: direction times the user's, connected to them by autograd.
        output_times: The same as numbers.
        integration: How it is integrated: the settings' integrator with its tensors and functions.
        callbacks: The function's callbacks.
        event: What ends the solve, or None.
        linearise: What an implicit method asks, instead of differentiating the function, for the rates and
            their Jacobian in the coupled elements alone; or None.
        coupled: The elements of a flat state on which the rates depend, or None where that is all of them.
        norm_argument: What the user calls the option ``norm``, in messages.
    """

    settings: Settings
    func: Callable[..., Any]
    y0: torch.Tensor  # (*state)
    t: torch.Tensor  # (times,)
    output_times: OutputTimes
    integration: Integration
    callbacks: Callbacks = NO_CALLBACKS
    event: Event | None = None
    linearise: Linearise | None = None
    coupled: slice | None = None
    norm_argument: str = "options['norm']"

    @property
    def structure(self) -> Structure:
        """What the state looks like to the function."""
        return self.settings.structure

    @property
    def shapes(self) -> tuple[torch.Size, ...] | None:
        """Shapes of a tuple state's components, None for a tensor."""
        structure = self.settings.structure
        return structure.shapes if structure.is_tuple else None

    @property
    def times(self) -> tuple[float, ...]:
        """The solver times of the outputs."""
        return self.output_times.values

    @property
    def direction(self) -> float:
        """1 or -1: solver time is this times the user's."""
        return self.settings.direction

    @property
    def method(self) -> Method:
        """The method."""
        return self.integration.method

    @property
    def options(self) -> Options:
        """Its checked options, their times in solver time."""
        return self.integration.options

    @property
    def rtol(self) -> float | torch.Tensor:
        """A float, or a tensor that broadcasts against ``y0``."""
        return self.integration.rtol

    @property
    def atol(self) -> float | torch.Tensor:
        """Likewise."""
        return self.integration.atol

    @property
    def every_step(self) -> bool:
        """Whether every step has outputs; see :class:`Settings`."""
        return self.settings.every_step

    @property
    def tableau(self) -> Tableau:
        """The method, where it is known to be a Runge-Kutta one."""
        assert isinstance(self.method, Tableau)
        return self.method

    @property
    def finds_times(self) -> bool:
        """Whether the solve itself finds the times of its outputs."""
        return self.settings.every_step or self.event is not None

    @property
    def real_dtype(self) -> torch.dtype:
        """The state's dtype, or that of its real part: what the function gets its time in."""
        return self.settings.real_dtype

    def field(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """dy/dt in solver time.

        Args:
            t: 0-d solver time; the function may write on it.
            y: State, shaped as ``y0``; likewise.

        Returns:
            A tensor that shares memory with nothing: the function may fill again the one that it returned.

        Raises:
            TypeError: If the function returns something else than its state's kind.
            ValueError: If what it returns has not the state's shape. In fixed-step methods what broadcasts to
                a tensor state passes, with a warning.
        """
        dtype = self.real_dtype
        if t.dtype != dtype:
            t = t.to(dtype)
        forward = self.direction > 0
        try:
            out = self.func(t if forward else -t, self.unflatten(y))
        except TypeError as error:
            wrong = misfit(self.func, 2)
            if wrong is None:
                raise
            raise TypeError(f"func must be a callable of (t, y), got {wrong}") from error
        if isinstance(out, torch.Tensor) and out.shape != y.shape:
            out = self._spread(out)
        parts = self.structure.fit(out, y.dtype)
        if self.shapes is None:
            return parts[0].clone() if forward else -parts[0]
        derivative = torch.cat([part.reshape(-1) for part in parts])
        return derivative if forward else -derivative

    def _spread(self, out: torch.Tensor) -> torch.Tensor:
        """The function's answer over the whole state, where that is what torchdiffeq makes of it."""
        if self.shapes is not None or self.method.control == "error":
            return out
        spread = broadcast(out, self.y0.shape)
        if spread is None:
            return out
        said = notices.said_of(self.func)
        if out.numel() != spread.numel() and _BROADCAST not in said:
            notices.warn(
                f"func returned a tensor of shape {tuple(out.shape)} where y0 has {tuple(self.y0.shape)}: "
                f"{_BROADCAST}; {ORDER_OF_ARGUMENTS}"
            )
            # Not before: where the warning is an error, it is to be raised again.
            said.add(_BROADCAST)
        return spread

    def event_value(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The least of ``event_outputs``, 0-d: positive before the event, zero at it."""
        return self.event_outputs(t, y).min()

    def event_outputs(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The event's outputs, 1-D: positive before they cross, zero where they do.

        The function gets its time in the state's real dtype, as the field does.

        Args:
            t: 0-d solver time; the function may write on it.
            y: State, shaped as ``y0``, of which the function gets a copy.

        Raises:
            TypeError: If the event function returns no real tensor.
            ValueError: If what it returns is empty.
            NonFiniteError: If it is NaN.
        """
        assert self.event is not None
        t = t.to(self.real_dtype)
        return self.event.outputs(t if self.direction > 0 else -t, self.unflatten(y.clone()))

    def unflatten(self, ys: torch.Tensor) -> Any:
        """The user's structure for ``ys``, of shape ``(*leading, *state)``: itself, or a tuple of views."""
        structure = self.settings.structure
        return structure.split(ys) if structure.is_tuple else ys

    def flat(self) -> Problem:
        """The same problem for a function of a flat state, where its own is a tuple."""
        if not self.structure.is_tuple:
            return self

        def func(t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return self.direction * self.field(self.direction * t, y)

        settings = replace(self.settings, structure=Structure((self.y0.shape,), False))
        return replace(self, settings=settings, func=func)

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        """The norm of a state-shaped tensor that errors are measured in, 0-d."""
        custom = self.integration.norm
        if custom is not None:
            return as_norm(self.norm_argument, custom(self.unflatten(x)))
        return self.state_norm(x)

    def state_norm(self, x: torch.Tensor) -> torch.Tensor:
        """The default norm: root mean square, and of a tuple state the largest of its components'."""
        if self.shapes is None:
            return rms(x)
        parts = torch.split(x, [shape.numel() for shape in self.shapes])
        return torch.stack([rms(part) for part in parts]).amax()


def as_norm(argument: str, value: Any) -> torch.Tensor:
    """What a user's norm returned, 0-d and real.

    Args:
        argument: What the norm is called in messages.
        value: What it returned.

    Raises:
        TypeError: If that is no number and no tensor that holds one.
    """
    try:
        norm = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        got = type(value).__name__
    else:
        if norm.numel() == 1:
            return (norm.abs() if norm.is_complex() else norm).reshape(())
        got = f"shape {tuple(norm.shape)}"
    raise TypeError(f"{argument} must return one number, as a number or a tensor that holds it, got {got}")


def rms(x: torch.Tensor) -> torch.Tensor:
    """Root mean square over all elements, 0-d; 0 where there are none."""
    if x.numel() == 0:
        return x.new_zeros((), dtype=x.dtype.to_real())
    squares = x.abs().square() if x.is_complex() else x.square()
    return squares.mean().sqrt()
