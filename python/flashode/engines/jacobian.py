"""Jacobians of fields by reverse differentiation, in real numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch.autograd import forward_ad

# Entries of the Jacobian that are computed at once.
_AT_ONCE = 2**20


def real(x: torch.Tensor) -> torch.Tensor:
    """The real numbers of a tensor as a vector: of a complex one the parts of each element side by side."""
    return (torch.view_as_real(x) if x.is_complex() else x).reshape(-1)


def like(numbers: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The inverse of :func:`real`, for a tensor of the kind of ``x``."""
    if x.is_complex():
        return torch.view_as_complex(numbers.view(-1, 2)).view(x.shape)
    return numbers.view(x.shape)


def is_transformed() -> bool:
    """Whether a transform of ``torch.func`` or forward differentiation looks at what is computed."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def transformed_jacobian(
    func: Callable[[torch.Tensor], torch.Tensor], y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """A function's value and its Jacobian as :class:`Jacobians` has it, where a transform is at work.

    The value depends on what the function and y depend on, and on nothing else.
    """
    f, reverse = torch.func.vjp(  # type: ignore[misc]
        lambda numbers: real(func(like(numbers, y))), real(y)
    )
    unit = torch.eye(f.numel(), dtype=f.dtype, device=f.device)
    (jacobian,) = torch.func.vmap(reverse)(unit)
    return like(f, y), jacobian


class Jacobians:
    """Takes Jacobians, and remembers whether rows can be had many at once."""

    def __init__(self) -> None:
        self._batched = True

    def of(self, f: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The Jacobian of ``real(f)`` in ``real(y)``, read off the graph between them, which is retained.

        Args:
            f: Shape and dtype of ``y``.
            y: The state that f was evaluated at; it requires grad.

        Returns:
            Shape ``(n, n)`` with n real numbers in the state; zeros where f does not depend on y, and where
            it is not differentiated by autograd.
        """
        n = real(y).numel()
        matrix = torch.zeros(n, n, dtype=real(y).dtype, device=y.device)
        if not f.requires_grad:
            return matrix
        with torch.enable_grad():
            numbers = real(f)
        unit = torch.eye(n, dtype=matrix.dtype, device=y.device)
        rows = max(1, _AT_ONCE // max(n, 1)) if self._batched else 1
        start = 0
        while start < n:
            cotangents = unit[start : start + rows]
            try:
                block = self._rows(numbers, y, cotangents)
            except RuntimeError:
                if not self._batched:
                    raise
                # Not every backward formula can be batched.
                self._batched = False
                rows = 1
                continue
            if block is None:
                break
            matrix[start : start + rows] = block
            start += rows
        return matrix

    def _rows(self, numbers: torch.Tensor, y: torch.Tensor, cotangents: torch.Tensor) -> torch.Tensor | None:
        """Rows of the Jacobian, or None if nothing depends on y."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "There is a performance drop")
            vjps: torch.Tensor | None = torch.autograd.grad(
                numbers,
                y,
                cotangents if self._batched else cotangents[0],
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=self._batched,
            )[0]
        if vjps is None:
            return None
        parts = torch.view_as_real(vjps.resolve_conj()) if vjps.is_complex() else vjps
        return parts.reshape(len(cotangents), cotangents.shape[1])
