"""Where blocks of launches meet."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import flashode
from cuda.host import Host
from cuda.solving import cuda_on, everything
from flashode import use_engine

pytestmark = pytest.mark.usefixtures("compiled")

CPU = torch.device("cpu")


def test_no_two_launches_have_the_same_rounds() -> None:
    from flashode.engines.cuda.launch import _ROUNDS, Launcher

    launcher = Launcher(Host())
    with ThreadPoolExecutor(8) as pool:
        rounds = list(pool.map(lambda _: launcher.slots(3, CPU).round, range(1000)))
    assert sorted(rounds) == [1 + launch * _ROUNDS for launch in range(1000)]


def test_slots_are_new_where_they_are_too_few_and_where_rounds_run_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flashode.engines.cuda import launch

    launcher = launch.Launcher(Host())
    first, second, more = (launcher.slots(blocks, CPU) for blocks in (3, 2, 4))
    assert second.memory is first.memory
    assert more.memory is not first.memory and more.round == 1 and not more.memory.any()
    assert launch._LAST_ROUND + launch._ROUNDS < 2**64
    monkeypatch.setattr(launch, "_LAST_ROUND", launch._ROUNDS)
    again = launcher.slots(4, CPU)
    assert again.memory is not more.memory and again.round == 1


@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_threads_that_solve_at_the_same_time(solve: Callable[..., Tensor]) -> None:
    """On one stream, of which each launch has slots and rounds of its own."""
    field, y0 = everything(batch=9)
    t = torch.tensor([0.0, 0.2, 0.3], dtype=torch.float64)

    def gradients(_: int = 0) -> list[Tensor]:
        with use_engine("cuda"):
            start = y0.clone().requires_grad_()
            states = solve(field, start, t, rtol=1e-4)
            return [states.detach(), *torch.autograd.grad(states.sum(), [start, *field.parameters()])]

    with cuda_on(Host(), budget=2):
        alone = gradients()
        with ThreadPoolExecutor(4) as pool:
            for together in pool.map(gradients, range(12)):
                assert all(map(torch.equal, together, alone))
