"""The exact reverse of the discrete solve."""

from __future__ import annotations

from typing import Any

import torch

from flashode.autograd.graph import is_batched, outputs
from flashode.engines.protocol import Plan
from flashode.memory import check_saved, dense, kind_of
from flashode.uncompiled import uncompiled


class DiscreteAdjoint(torch.autograd.Function):
    """Exact gradients of the discrete solve in ``(t, y0, *parameters)``, to any order."""

    @staticmethod
    def forward(
        ctx: Any, plan: Plan, t: torch.Tensor, y0: torch.Tensor, *parameters: torch.Tensor
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        solved = plan.forward(record=True)
        ctx.plan = plan
        ctx.record = solved.record
        # Copies of what has no gradient: autograd would refuse the reverse pass if their owner changed them.
        ctx.constants = [None if p.requires_grad else p.detach().clone() for p in parameters]
        # Checkpoints are saved here and not in the record, so that they are freed with the graph.
        inputs = (t, y0, *[p for p in parameters if p.requires_grad])
        ctx.kinds = list(map(kind_of, inputs))
        ctx.save_for_backward(*inputs, *solved.checkpoints)
        return outputs(ctx, solved)

    @staticmethod
    @uncompiled
    def backward(
        ctx: Any, grad_states: torch.Tensor, _: torch.Tensor | None = None
    ) -> tuple[torch.Tensor | None, ...]:
        saved = ctx.saved_tensors  # raises if one was changed in place since
        grad_states = dense(grad_states)
        if torch.is_grad_enabled() or is_batched(grad_states):
            return (None, *_differentiable_gradients(ctx, saved[: len(ctx.kinds)], grad_states))
        gradients = ctx.plan.discrete_vjp(ctx.record, saved[len(ctx.kinds) :], grad_states)
        return (None, gradients.t, gradients.y0, *gradients.parameters)


def _differentiable_gradients(
    ctx: Any, saved: tuple[torch.Tensor, ...], grad_states: torch.Tensor
) -> list[torch.Tensor | None]:
    """The gradients through the same solve in plain torch: with a graph of their own, or batched."""
    for tensor, kind in zip(saved, ctx.kinds, strict=True):
        check_saved(tensor, kind)
    t, y0, *rest = saved
    remaining = iter(rest)
    parameters = tuple(next(remaining) if p is None else p for p in ctx.constants)
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases: where one was computed from another, autograd would go on to that one here, and once more
        # from what is returned.
        inputs = [x.view_as(x) for x in (t, y0, *parameters)]
        states, _ = ctx.plan.differentiable(inputs[0], inputs[1], tuple(inputs[2:]))
    needed = [x for x, needs in zip(inputs, ctx.needs_input_grad[1:], strict=True) if needs]
    gradients = iter(
        torch.autograd.grad(states, needed, grad_states, create_graph=create_graph, allow_unused=True)
    )
    return [next(gradients) if needs else None for needs in ctx.needs_input_grad[1:]]
