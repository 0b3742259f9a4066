"""The bits of a solve do not depend on its workers, nor on when it pauses."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Barrier, Event
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode.engines.numba.budget import Budget
from flashode.engines.numba.workers import Workers, workers
from interrupting import interrupted
from numba_solving import numba_with
from problems import Network, Pair, values

T = torch.tensor([0.0, 0.11, 0.4, 0.7], dtype=torch.float64)
TOLERANCES: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}
Answer = list[Tensor]
# Those that solve by the workers of the process.
MODULES = ("forward", "discrete", "continuous")


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As many idle threads as the tests ask for, on any machine."""
    fresh = Workers(idle=7)
    for module in MODULES:
        monkeypatch.setattr(f"flashode.engines.numba.{module}.workers", fresh)
    yield
    fresh.close()


def solved(face: Any = flashode.odeint, tuples: bool = False, **arguments: Any) -> Answer:
    """States, and gradients in all that there is, of a batch of many tiles."""
    func = Pair() if tuples else Network()
    y0 = values(200, 3).requires_grad_()
    state = (y0, values(200, 1, seed=1).requires_grad_()) if tuples else y0
    t = T.clone().requires_grad_()
    states = face(func, state, t, **TOLERANCES, **arguments)
    states = states if tuples else (states,)
    loss = sum(x.square().mean() for x in states)
    inputs = [*(state if tuples else (state,)), t, *func.parameters()]
    return [*states, *torch.autograd.grad(loss, inputs)]


def dense() -> Answer:
    solution = flashode.odeint_dense(Network(), values(200, 3), T[0], T[-1], **TOLERANCES)
    return [solution(torch.linspace(0, 0.7, 9, dtype=torch.float64))]


def to_event() -> Answer:
    def event(t: Tensor, y: Tensor) -> Tensor:
        return y.mean() - 0.05

    return list(flashode.odeint_event(Network(), values(200, 3), T[0], event_fn=event, **TOLERANCES))


SOLVES: dict[str, Callable[[], Answer]] = {
    "dopri5": solved,
    "bosh3": lambda: solved(method="bosh3"),
    "jumps": lambda: solved(options={"jump_t": torch.tensor([0.2, 0.5]), "step_t": torch.tensor([0.3])}),
    "rk4": lambda: solved(method="rk4", options={"step_size": 0.06}),
    "cubic": lambda: solved(method="rk4", options={"step_size": 0.06, "interp": "cubic"}),
    "perturb": lambda: solved(method="midpoint", options={"step_size": 0.06, "perturb": True}),
    "tuple": lambda: solved(tuples=True),
    "adjoint": lambda: solved(flashode.odeint_adjoint),
    "seminorm": lambda: solved(flashode.odeint_adjoint, adjoint_options={"norm": "seminorm"}),
    "adjoint on a grid": lambda: solved(flashode.odeint_adjoint, method="rk4"),
    "dense": dense,
    "event": to_event,
}


def require_same_bits(own: Answer, other: Answer) -> None:
    assert len(own) == len(other)
    for a, b in zip(own, other, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", SOLVES)
def test_workers_change_no_bit(name: str) -> None:
    with numba_with(threads=1):
        alone = SOLVES[name]()
    for threads in (2, 3, 8):
        with numba_with(threads=threads):
            require_same_bits(SOLVES[name](), alone)


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("name", SOLVES)
def test_pauses_change_no_bit(name: str, attempts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with numba_with(threads=1):
        whole = SOLVES[name]()
    # Memory comes in chunks then, too.
    monkeypatch.setattr("flashode.engines.numba.forward._FIRST_STEPS", 1)
    for threads in (1, 2):
        with numba_with(attempts=attempts, threads=threads):
            require_same_bits(SOLVES[name](), whole)


def test_solves_at_once_share_the_threads() -> None:
    """More workers than there are threads, in several solves: none waits for one that never comes."""
    with numba_with(threads=1):
        alone = solved()
    with numba_with(threads=5):
        context = copy_context()
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(context.copy().run, solved) for _ in range(12)]
        for answer in answers:
            require_same_bits(answer.result(), alone)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MODULES:
        monkeypatch.setattr(f"flashode.engines.numba.{module}.workers", workers)
    with numba_with(threads=3):
        whole = solved()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.alarm(60)
                code = int(not all(map(torch.equal, solved(), whole)))
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("face", [flashode.odeint, flashode.odeint_adjoint])
def test_ctrl_c_ends_a_long_solve(face: Any) -> None:
    times = torch.linspace(0, 4e6, 3, dtype=torch.float64)

    def work() -> None:
        face(Network(), values(8, 3), times, method="rk4", options={"step_size": 1e-2})

    with numba_with():
        short = values(8, 3)
        face(Network(), short, T)  # compiled now
        assert interrupted(work)
        require_same_bits([face(Network(), short, T)], [face(Network(), short, T)])


def test_ctrl_c_leaves_no_worker_waiting_for_another() -> None:
    """Nor takes the memory of those that are at work."""
    pool = Workers(idle=1)
    begun, go_on, ended = Barrier(2, timeout=60), Event(), []

    def task() -> None:
        begun.wait()
        go_on.wait(60)
        ended.append(held() is not None)

    memory = values(1)
    held = weakref.ref(memory)

    def work(memory: Tensor) -> None:
        with pool.reserved(2):
            pool.run([task, task], memory)

    assert interrupted(lambda memory=memory: work(memory))
    del memory
    gc.collect()
    go_on.set()
    pool.close()
    assert ended == [True, True]
    assert held() is None


def test_threads_are_given_back() -> None:
    pool = Workers(idle=3)
    with pool.reserved(3) as count:
        assert count == 3
        with pool.reserved(9) as other:
            assert other == 2
        with pytest.raises(ZeroDivisionError), pool.reserved(4):
            raise ZeroDivisionError
    with pool.reserved(9) as count:
        assert count == 4
    pool.close()


def test_much_work_pauses_early() -> None:
    """Before it is known how long an attempt takes."""
    assert Budget(100).attempts == 1_000
    assert Budget(10**6).attempts == 200
    assert Budget(10**10).attempts == 1
    budget = Budget(10**10)
    budget.adapt(1, 0.001)
    assert budget.attempts == 2
    budget.adapt(2, 4.0)
    assert budget.attempts == 1
