"""Reverse passes that pause are those that do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from cuda.host import PROPERTIES, Host
from cuda.solving import cuda_on, everything
from problems import layer

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
        solve(field, y0, t, **options).square().sum().backward()
    sources = [y0, *field.parameters(), t]
    return [source.grad for source in sources if source.grad is not None]


SOLVES: dict[str, dict[str, Any]] = {
    "dopri5": {"rtol": 1e-9, "atol": 1e-10},
    "bosh3": {"method": "bosh3", "rtol": 1e-5, "atol": 1e-6},
    "rk4": {"method": "rk4", "options": {"step_size": 0.007}},
}


@pytest.mark.parametrize("name", SOLVES)
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_a_pause_changes_nothing(solve: Callable[..., Tensor], name: str) -> None:
    """Bit for bit, in whichever mode."""
    host, pausing = Host(), Host()
    whole = gradients(solve, host, None, **SOLVES[name])
    paused = gradients(solve, pausing, 2, **SOLVES[name])
    assert host.launches == 2
    assert pausing.launches > 4
    assert all(map(torch.equal, paused, whole))


def test_the_exact_reverse_pauses_where_it_folds() -> None:
    """After 4, 36, 68 and all of 100 steps of each tile, where one block has three of them."""
    narrow = replace(PROPERTIES, multiprocessors=1, threads_together=32)
    field = layer(2, 2).double()
    y0 = torch.linspace(-1, 1, 260, dtype=torch.float64).view(130, 2).requires_grad_()
    found = []
    for machine, budget in ((Host(narrow), None), (pausing := Host(narrow), 1)):
        with cuda_on(machine, budget=budget):
            solution = flashode.odeint(lambda t, y: field(y), y0, T, **SOLVES["rk4"])
            found.append(torch.autograd.grad(solution.square().sum(), [y0, *field.parameters()]))
    assert all(map(torch.equal, *found))
    assert pausing.launches == 100 + 3 * 4


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
