"""The normalised problem: what every engine solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from flashode.methods import Tableau
from flashode.problem.options import Options

Callback = Callable[[torch.Tensor, Any, torch.Tensor], object]


@dataclass(frozen=True)
class Callbacks:
    """The function's callbacks as the user wrote them, of ``(t0, y0, dt)``; None where there is none."""

    step: Callback | None = None
    accept: Callback | None = None
    reject: Callback | None = None

    def __bool__(self) -> bool:
        return self.step is not None or self.accept is not None or self.reject is not None


@dataclass(frozen=True, eq=False)
class Problem:
    """An initial value problem in solver time, which increases.

    Attributes:
        func: The user's function of the user's time and state.
        y0: Initial state in the user's shape; for a tuple state the 1-D concatenation of its components.
        shapes: Shapes of a tuple state's components, None for a tensor.
        t: 1-D, strictly increasing output times: direction times the user's, connected to them by autograd.
        times: The same as floats.
        direction: 1 or -1.
        tableau: The method.
        rtol: A float, or a tensor that broadcasts against ``y0``.
        atol: Likewise.
        options: Checked options, their times in solver time.
        callbacks: The function's callbacks.
    """

    func: Callable[..., Any]
    y0: torch.Tensor  # (*state)
    shapes: tuple[torch.Size, ...] | None
    t: torch.Tensor  # (times,)
    times: tuple[float, ...]
    direction: float
    tableau: Tableau
    rtol: float | torch.Tensor
    atol: float | torch.Tensor
    options: Options
    callbacks: Callbacks = Callbacks()

    @property
    def real_dtype(self) -> torch.dtype:
        """The state's dtype, or that of its real part: what the function gets its time in."""
        return self.y0.dtype.to_real() if self.y0.is_complex() else self.y0.dtype

    def field(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """dy/dt in solver time.

        Args:
            t: 0-d solver time.
            y: State, shaped as ``y0``.

        Raises:
            TypeError: If the function returns something else than its state's kind.
            ValueError: If what it returns does not fit the state's shape.
        """
        dtype = self.real_dtype
        if t.dtype != dtype:
            t = t.to(dtype)
        forward = self.direction > 0
        out = self.func(t if forward else -t, y if self.shapes is None else self.unflatten(y))
        if self.shapes is None:
            derivative = _fit(out, y.shape, y, "")
        else:
            derivative = self._flatten(out, self.shapes, y)
        return derivative if forward else -derivative

    def _flatten(self, out: Any, shapes: tuple[torch.Size, ...], y: torch.Tensor) -> torch.Tensor:
        if not isinstance(out, (tuple, list)):
            raise TypeError(
                f"func must return a tuple of {len(shapes)} tensors, as y0 is, got {type(out).__name__}"
            )
        if len(out) != len(shapes):
            raise ValueError(f"func must return a tuple of {len(shapes)} tensors, as y0 is, got {len(out)}")
        parts = [
            _fit(part, shape, y, f" in component {i}").reshape(-1)
            for i, (part, shape) in enumerate(zip(out, shapes, strict=True))
        ]
        return torch.cat(parts)

    def unflatten(self, ys: torch.Tensor) -> Any:
        """The user's structure for ``ys``, of shape ``(*leading, *state)``: itself, or a tuple of views."""
        if self.shapes is None:
            return ys
        leading = ys.shape[:-1]
        parts = torch.split(ys, [shape.numel() for shape in self.shapes], dim=-1)
        return tuple(part.view(leading + shape) for part, shape in zip(parts, self.shapes, strict=True))

    def norm(self, x: torch.Tensor) -> torch.Tensor:
        """The norm of a state-shaped tensor that errors are measured in, 0-d."""
        custom = self.options.norm
        if custom is not None:
            return torch.as_tensor(custom(self.unflatten(x)))
        return self.state_norm(x)

    def state_norm(self, x: torch.Tensor) -> torch.Tensor:
        """The default norm: root mean square, and of a tuple state the largest of its components'."""
        if self.shapes is None:
            return rms(x)
        parts = torch.split(x, [shape.numel() for shape in self.shapes])
        return torch.stack([rms(part) for part in parts]).amax()


def rms(x: torch.Tensor) -> torch.Tensor:
    """Root mean square over all elements, 0-d; 0 where there are none."""
    if x.numel() == 0:
        return x.new_zeros((), dtype=x.dtype.to_real() if x.is_complex() else x.dtype)
    squares = x.abs().square() if x.is_complex() else x.square()
    return squares.mean().sqrt()


def _fit(out: object, shape: torch.Size, y: torch.Tensor, where: str) -> torch.Tensor:
    """The function's output with the state's shape and dtype."""
    if not isinstance(out, torch.Tensor):
        raise TypeError(f"func must return a tensor shaped like y0{where}, got {type(out).__name__}")
    if out.dtype != y.dtype:
        if out.is_complex() and not y.is_complex():
            raise TypeError(f"func must return a real tensor for a real y0{where}, got {out.dtype}")
        out = out.to(y.dtype)
    if out.shape == shape:
        return out
    if where and [n for n in out.shape if n != 1] == [n for n in shape if n != 1]:
        # torchdiffeq only counts the elements of a tuple's components, and programs return (batch,) for
        # (batch, 1).
        return out.reshape(shape)
    try:
        return out.expand(shape)
    except RuntimeError:
        raise ValueError(
            f"func must return a tensor of shape {tuple(shape)}{where}, as y0 has, or one that broadcasts to "
            f"it, got {tuple(out.shape)}"
        ) from None
