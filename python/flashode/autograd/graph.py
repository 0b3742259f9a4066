"""What the autograd functions of all gradient modes share."""

from __future__ import annotations

from typing import Any

import torch

from flashode.engines.protocol import Forward
from flashode.uncompiled import uncompiled


def outputs(ctx: Any, solved: Forward) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """The states, and beside them the times if the solve found them."""
    if solved.times is None:
        return solved.states
    ctx.mark_non_differentiable(solved.times)
    return solved.states, solved.times


def is_batched(tensor: torch.Tensor) -> bool:
    """Whether it stands for many tensors at once and has no memory of its own to read."""
    functorch = torch._C._functorch
    return functorch.is_functorch_wrapped_tensor(tensor) or functorch.is_legacy_batchedtensor(tensor)


def once(
    name: str, gradients: tuple[torch.Tensor | None, ...], sources: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor | None, ...]:
    """Gradients that depend on the sources and refuse to be differentiated, in what has that name."""
    present = [g for g in gradients if g is not None]
    refusing = iter(_Once.apply(name, len(present), *present, *sources))  # type: ignore[no-untyped-call]
    return tuple(None if g is None else next(refusing) for g in gradients)


_HIGHER_ORDERS = {
    "odeint_adjoint": "use odeint, whose gradients have gradients of any order",
    "the time of an event": (
        "Newton steps on it, with odeint's solution at torch.stack([t0, event_t]), have gradients of any "
        "order"
    ),
}


class _Once(torch.autograd.Function):
    """Hands gradients on and refuses to be differentiated."""

    @staticmethod
    def forward(ctx: Any, name: str, count: int, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.name = name
        return tuple(tensor.clone() for tensor in tensors[:count])

    @staticmethod
    @uncompiled
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        raise RuntimeError(f"{ctx.name} cannot be differentiated twice: {_HIGHER_ORDERS[ctx.name]}")
