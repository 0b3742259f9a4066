"""Where blocks of launches meet, and how long launches are."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import flashode
from cuda.host import PROPERTIES, Host, HostKernel
from cuda.kernels import kernel_text
from cuda.solving import cuda_on, everything
from flashode import use_engine
from flashode.engines.cuda.mapping import Mapping
from flashode.engines.cuda.source import KernelText
from problems import layer

pytestmark = pytest.mark.usefixtures("compiled")

CPU = torch.device("cpu")
# Of a tile for each of seven blocks.
WIDE = replace(PROPERTIES, multiprocessors=7, threads_together=32)
EMPTY = kernel_text("", threads=32, memory=1).replace(" test(", " empty(")


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


@pytest.mark.parametrize(
    ("seconds", "steps", "used_up", "budget"),
    [
        (0.01, 1000, True, 2000),
        (0.1, 1000, True, 1000),
        (1.0, 1000, True, 100),
        (5.0, 300, False, 6),
        (5.0, 3, False, 1),
        (0.01, 300, False, 1000),
    ],
)
def test_a_budget_follows_what_a_step_takes(seconds: float, steps: int, used_up: bool, budget: int) -> None:
    from flashode.engines.cuda.launch import Prepared

    kernel, text = Host().kernel(EMPTY, "empty", CPU), KernelText(EMPTY, "empty", 0)
    prepared = Prepared(kernel, text, Mapping(1, 32, False, 0), 0)
    assert prepared.budget == 1000
    prepared.adapt(seconds, steps, used_up)
    assert prepared.budget == budget


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = layer(2, 2).double()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.layer(y)  # type: ignore[no-any-return]


@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint], ids=["discrete", "continuous"])
def test_a_budget_is_of_steps_of_tiles(solve: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    """One block has three tiles, so that four steps of all of them are twelve."""
    from flashode.engines.cuda.launch import Prepared

    seen: list[tuple[str, int, bool]] = []

    def note(self: Prepared, seconds: float, steps: int, used_up: bool) -> None:
        assert seconds > 0
        seen.append((self.text.name, steps, used_up))

    monkeypatch.setattr(Prepared.__init__, "__defaults__", (12,))
    monkeypatch.setattr(Prepared, "adapt", note)
    y0 = torch.linspace(-1, 1, 260, dtype=torch.float64).view(130, 2).requires_grad_()
    t = torch.tensor([0.0, 0.2, 0.3], dtype=torch.float64)
    with cuda_on(Host(replace(PROPERTIES, multiprocessors=1, threads_together=32))):
        solve(Linear(), y0, t, method="rk4", options={"step_size": 0.03}).sum().backward()
    forward = [("forward", 12, True)] * 2 + [("forward", 6, False)]
    if solve is flashode.odeint:
        # It goes on to where sums are folded, which is the end of each tile.
        assert seen == [*forward, ("discrete_vjp", 20, True), ("discrete_vjp", 10, False)]
    else:
        # Eleven steps: each interval has its own.
        backward = [("continuous_vjp", 12, True)] * 2 + [("continuous_vjp", 9, False)]
        assert seen == [*forward, *backward]


class Fewer(HostKernel):
    """Says that all its blocks find room, where half of them do."""

    def launch(
        self, blocks: int, threads: int, shared_bytes: int, arguments: bytes, *, meeting: bool = True
    ) -> bool:
        if meeting and blocks > 1:
            return blocks <= 3 and super().launch(blocks, threads, shared_bytes, arguments)
        return super().launch(blocks, threads, shared_bytes, arguments, meeting=meeting)


class FewerHost(Host):
    """A machine of such kernels."""

    def kernel(self, source: str, name: str, device: torch.device) -> HostKernel:
        return Fewer(super().kernel(source, name, device).function, self)


@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint], ids=["discrete", "continuous"])
@pytest.mark.parametrize("budget", [None, 3])
def test_blocks_that_find_no_room_are_fewer(solve: Callable[..., Tensor], budget: int | None) -> None:
    """And those of the exact reverse, which do not meet, are as many as there are."""
    field, t = Linear(), torch.tensor([0.0, 0.2, 0.3], dtype=torch.float64)
    y0 = torch.linspace(-1, 1, 40, dtype=torch.float64).view(20, 2).requires_grad_()
    gradients = []
    for machine in (Host(WIDE), FewerHost(WIDE)):
        with cuda_on(machine, budget=budget):
            states = solve(field, y0, t)
            gradients.append(torch.autograd.grad(states.square().sum(), [y0, *field.parameters()]))
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-13)
