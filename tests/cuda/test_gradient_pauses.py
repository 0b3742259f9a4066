"""Reverse passes that pause are those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from cuda.host import Host
from cuda.solving import cuda_on, everything

T = torch.tensor([0.0, 0.11, 0.4, 0.7], dtype=torch.float64)


def gradients(
    solve: Callable[..., Tensor], machine: Host, budget: int | None, **options: Any
) -> list[Tensor]:
    """In the state, in the parameters and in the times."""
    torch.manual_seed(0)
    field, y0 = everything(batch=5)
    y0.requires_grad_()
    t = T.clone().requires_grad_()
    with cuda_on(machine, budget=budget):
        solve(field, y0, t, rtol=1e-4, atol=1e-5, **options).square().sum().backward()
    sources = [y0, *field.parameters(), t]
    return [source.grad for source in sources if source.grad is not None]


@pytest.mark.parametrize("method", ["dopri5", "rk4", "bosh3"])
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_a_pause_changes_nothing(solve: Callable[..., Tensor], method: str) -> None:
    host, pausing = Host(), Host()
    whole = gradients(solve, host, None, method=method)
    paused = gradients(solve, pausing, 2, method=method)
    assert host.launches == 2
    assert pausing.launches > 3
    for own, other in zip(paused, whole, strict=True):
        # Partial sums are added up in double more often.
        torch.testing.assert_close(own, other, rtol=1e-12, atol=1e-13)
        assert solve is flashode.odeint or torch.equal(own, other)


@pytest.mark.parametrize("steps", [10, 100])
def test_memory_of_the_reverse_is_steps_times_state(steps: int) -> None:
    """Checkpoints are what of a recorded solve grows with its steps."""
    field, y0 = everything(batch=8)
    y0.requires_grad_()
    options = {"step_size": 0.7 / steps}
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() if tensor.dim() == 1 else 0)
        return tensor

    with cuda_on(Host()), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        flashode.odeint(field, y0, torch.tensor([0.0, 0.7]), method="rk4", options=options)
    assert max(sizes) == steps * y0.numel()
