"""More threads: the same bits, no deadlock, and a solve that can be stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import flashode
from interrupting import interrupted
from problems import Network

WIDTH, BATCH = 24, 350  # tiles and groups of them that no number of threads divides


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Swirl(nn.Module):
    """A perceptron whose weights depend on t too, with parameters that each trajectory reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 40), nn.Linear(40, WIDTH)
        self.rate = nn.Parameter(torch.randn(WIDTH))

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(y))) - torch.sigmoid(self.rate) * torch.cos(t) * y


def _made() -> tuple[Swirl, Tensor, Tensor]:
    torch.manual_seed(0)
    y0 = torch.randn(BATCH, WIDTH, requires_grad=True)
    return Swirl(), y0, torch.linspace(0.0, 1.0, 5, requires_grad=True)


def _all_of(solve: Callable[..., Tensor], method: str, threads: int) -> list[Tensor]:
    torch.set_num_threads(threads)
    field, y0, t = _made()
    with flashode.use_engine("native"):
        states = solve(field, y0, t, method=method, rtol=1e-5, atol=1e-6)
        states.square().mean().backward()
    return [states.detach(), y0.grad, t.grad, *(p.grad for p in field.parameters())]


@pytest.mark.parametrize("method", ["dopri5", "bosh3", "rk4"])
@pytest.mark.parametrize("solve", [flashode.odeint, flashode.odeint_adjoint])
def test_results_are_the_same_to_the_bit(solve: Callable[..., Tensor], method: str) -> None:
    wanted = _all_of(solve, method, 1)
    assert all(part.abs().sum() > 0 for part in wanted)
    for threads in (2, 3, 8):
        actual = _all_of(solve, method, threads)
        assert all(map(torch.equal, actual, wanted)), f"{threads} threads"


def test_a_field_that_leaves_the_numbers_is_blamed_on_the_same_trajectory() -> None:
    def field(t: Tensor, y: Tensor) -> Tensor:
        return torch.log(y) + y @ weight

    weight = torch.randn(WIDTH, WIDTH)
    y0 = torch.ones(BATCH, WIDTH)
    y0[[33, 77, 201], 5] = -1.0
    messages = set()
    for threads in (1, 2, 8):
        torch.set_num_threads(threads)
        with flashode.use_engine("native"), pytest.raises(flashode.NonFiniteError) as raised:
            flashode.odeint(field, y0, torch.tensor([0.0, 1.0]))
        messages.add(str(raised.value))
    (message,) = messages
    assert "33" in message


def test_solves_in_many_python_threads_at_once() -> None:
    wanted = _all_of(flashode.odeint, "dopri5", 2)
    right = [False] * 4
    inputs = [_made() for _ in right]

    def work(i: int) -> None:
        field, y0, t = inputs[i]
        for _ in range(5):
            field.zero_grad()
            y0.grad = t.grad = None
            with flashode.use_engine("native"):
                states = flashode.odeint(field, y0, t, method="dopri5", rtol=1e-5, atol=1e-6)
                states.square().mean().backward()
            actual = [states.detach(), y0.grad, t.grad, *(p.grad for p in field.parameters())]
            right[i] = all(map(torch.equal, actual, wanted))

    torch.set_num_threads(2)
    workers = [threading.Thread(target=work, args=(i,)) for i in range(len(right))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert all(right)


_FORK = """
import os, signal, torch, flashode
from torch import nn
torch.set_num_threads(2)
net = nn.Sequential(nn.Linear(24, 40), nn.Tanh(), nn.Linear(40, 24))
field = lambda t, y: net(y)
y0, t = torch.ones(350, 24), torch.tensor([0.0, 1.0])
with torch.no_grad(), flashode.use_engine("native"):
    wanted = flashode.odeint(field, y0, t)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        found = flashode.odeint(field, y0, t)
        os._exit(0 if torch.equal(found, wanted) else 1)
    _, status = os.waitpid(child, 0)
    assert torch.equal(flashode.odeint(field, y0, t), wanted)
assert status == 0, status
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the process")
def test_a_forked_process_solves_too() -> None:
    # In a process of its own; what PyTorch itself computes on many threads hangs in a fork, so that the field
    # has to be captured before it.
    subprocess.run([sys.executable, "-c", _FORK], check=True, timeout=120)


@pytest.mark.skipif(os.name != "posix", reason="sends a POSIX signal")
@pytest.mark.parametrize("backward", [False, True])
def test_control_c_ends_a_long_solve_on_many_threads(backward: bool) -> None:
    torch.set_num_threads(3)
    field = Network(WIDTH, 64, dtype=torch.float32)
    end = torch.tensor([0.0, 1.0])
    y0 = torch.randn(2000, WIDTH)
    steps = {"step_size": 1e-3 if backward else 1e-6}
    with flashode.use_engine("native"):
        if not backward:
            assert interrupted(lambda: flashode.odeint(field, y0, end, method="rk4", options=steps))
            return
        states = flashode.odeint(field, y0, end, method="rk4", options=steps)
        assert interrupted(states.sum().backward)


def test_many_threads_that_ask_for_new_things() -> None:
    """What is kept for other solves is added to while others look at it."""
    net = Swirl()
    errors: list[Exception] = []

    def solve(thread: int) -> None:
        try:
            for i in range(40):
                flashode.odeint(
                    net, torch.zeros(2, WIDTH), torch.tensor([0.0, 0.1]), rtol=1e-3 * (1 + thread + i / 64)
                )
        except Exception as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        started = [threading.Thread(target=solve, args=(thread,)) for thread in range(6)]
        for each in started:
            each.start()
        for each in started:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
