"""The last word of a capture: the Program against the function itself, in values and in gradients.

A trace records values. Whatever changes gradients alone, and is not refused while tracing, such as an
``autograd.Function`` with a backward of its own, shows here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from flashode.capture.refusal import Refusal, described

# Torch's own rules are not all exact: in float64 its gradient of celu is wrong in the eighth digit.
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-7}
# How much a small element may be off, as a part of the largest in its tensor and of the largest of all.
_FLOOR = {torch.float32: 1e-5, torch.float64: 1e-9}
_NOISE = {torch.float32: 2e-6, torch.float64: 1e-14}


def verify(
    func: Callable[[Tensor, Tensor], Tensor],
    program: Callable[[Tensor, Tensor], Tensor],
    t: Tensor,
    y: Tensor,
    tensors: Sequence[Tensor],
) -> None:
    """Compares a captured field with its function at one point.

    Args:
        func: the user's function.
        program: the same from the Program, reading the same tensors.
        t: time, 0-d.
        y: the state.
        tensors: the tensors that the function owns.

    Raises:
        Refusal: values or gradients differ.
    """
    cotangent = _cotangent(y)
    owned = [tensor for tensor in tensors if tensor.requires_grad]
    try:
        expected = _evaluated(func, t, y, owned, cotangent, users=True)
        found = _evaluated(program, t, y, owned, cotangent, users=False)
    except Refusal:
        raise
    except Exception as error:
        raise Refusal(f"comparing it with its capture raised {described(error)}") from error
    # Noise in what cancels out is as large as rounding in the rest.
    noise = _NOISE[y.dtype] * max(map(_scale, expected))
    what = ["value", "gradient in t", "gradient in y", *["gradient in a tensor that it owns"] * len(owned)]
    for label, a, b in zip(what, expected, found, strict=True):
        if not _agree(a, b, noise):
            raise Refusal(
                f"the captured {label} differs from autograd's, so something in it is invisible to tracing"
            )


def perturbed(y: Tensor) -> Tensor:
    """A state near ``y``, the same each time; differs where ``y`` holds the zeros that hide gradients."""
    return y + (0.01 * y.abs() + 0.01) * _cotangent(y)


def _cotangent(y: Tensor) -> Tensor:
    # A generator of its own, so that the user's random numbers stay as they are.
    generator = torch.Generator("cpu").manual_seed(20180619)
    return torch.randn(y.shape, generator=generator, dtype=torch.float64, device="cpu").to(y)


def _evaluated(
    field: Callable[[Tensor, Tensor], Tensor],
    t: Tensor,
    y: Tensor,
    owned: Sequence[Tensor],
    cotangent: Tensor,
    users: bool,
) -> list[Tensor]:
    """The value and the gradients in t, y and the owned tensors."""
    with torch.enable_grad():
        t, y = t.detach().clone().requires_grad_(), y.detach().clone().requires_grad_()
        value = field(t, y)
        inputs = [t, y, *owned]
        if not value.requires_grad:
            return [value, *map(torch.zeros_like, inputs)]
        if users:
            _refuse_custom_backward(value)
        # Of a scalar, because grad_outputs would make torch import sympy. The graph is retained, because it
        # may reach into one that the user still needs.
        scalar = (value * cotangent).sum()
        gradients = torch.autograd.grad(scalar, inputs, retain_graph=True, materialize_grads=True)
    return [value.detach(), *gradients]


def _refuse_custom_backward(value: Tensor) -> None:
    seen: set[Any] = set()
    waiting: list[Any] = [] if value.grad_fn is None else [value.grad_fn]
    for node in waiting:
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, BackwardCFunction):
            raise Refusal(f"it uses a custom autograd.Function ({type(node).__name__})")
        waiting.extend(following for following, _ in node.next_functions if following is not None)


def _scale(tensor: Tensor) -> float:
    finite = torch.nan_to_num(tensor.detach().abs(), nan=0.0, posinf=0.0)
    return float(finite.max()) if tensor.numel() else 0.0


def _agree(expected: Tensor, found: Tensor, noise: float) -> bool:
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    floor = noise + _FLOOR[found.dtype] * _scale(expected)
    relative = _TOLERANCE[found.dtype]
    return torch.allclose(found.detach(), expected.detach(), rtol=relative, atol=floor, equal_nan=True)
