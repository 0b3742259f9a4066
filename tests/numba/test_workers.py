"""The bits of a solve do not depend on its workers, nor on when it pauses."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Barrier, Event, Thread
from typing import Any

import pytest
import torch
from torch import Tensor

import flashode
from flashode.engines.numba.budget import Budget
from flashode.engines.numba.workers import Task, Workers, workers
from interrupting import interrupted
from numba_solving import numba_with
from problems import Network, Pair, values

T = torch.tensor([0.0, 0.11, 0.4, 0.7], dtype=torch.float64)
TOLERANCES: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6}
Answer = list[Tensor]
# Those that solve by the workers of the process.
MODULES = ("forward", "discrete", "continuous")


class Counted(Workers):
    """Workers that note how many tasks each run has."""

    counts: tuple[int, ...] = ()

    def run(self, tasks: Sequence[Task], memory: object) -> None:
        self.counts += (len(tasks),)
        super().run(tasks, memory)


@pytest.fixture(autouse=True)
def threads_of_the_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """As many idle threads as the tests ask for, on any machine."""
    fresh = Counted(idle=7)
    for module in MODULES:
        monkeypatch.setattr(f"flashode.engines.numba.{module}.workers", fresh)
    yield fresh
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
        return y.mean() - 0.05 * torch.cos(t)

    func, y0 = Network(), values(200, 3).requires_grad_()
    event_t, states = flashode.odeint_event(func, y0, T[0], event_fn=event, **TOLERANCES)
    loss = event_t + states.square().mean()
    return [event_t, states, *torch.autograd.grad(loss, [y0, *func.parameters()])]


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
def test_workers_change_no_bit(name: str, threads_of_the_test: Counted) -> None:
    with numba_with(threads=1):
        alone = SOLVES[name]()
    for threads in (2, 3, 8):
        threads_of_the_test.counts = ()
        with numba_with(threads=threads):
            require_same_bits(SOLVES[name](), alone)
        assert min(threads_of_the_test.counts) > 1


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


# Steps, so many that they take seconds; each with the work of whom Ctrl-C is to end.
LONG = {"forward": 300_000, "discrete": 15_000, "continuous": 100_000}


def long_work(kind: str, size: float) -> Callable[[], object]:
    """Work of so many steps, or the backward pass of it."""
    span = torch.tensor([0.0, 1e-4 * size], dtype=torch.float64)
    steps, tolerances = {"max_step": 1e-4, "first_step": 1e-4}, {"rtol": 1.0, "atol": 1.0}
    func, y0 = Network(), values(200, 3)
    if kind == "forward":
        func.requires_grad_(False)
        return lambda: flashode.odeint(func, y0, span, options=steps, **tolerances)
    if kind == "discrete":
        states = flashode.odeint(func, y0, span, options=steps, **tolerances)
    else:
        states = flashode.odeint_adjoint(func, y0, span, adjoint_options=steps, **tolerances)
    return states.square().mean().backward


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", LONG)
def test_ctrl_c_ends_work_at_a_pause(
    kind: str, threads: int, threads_of_the_test: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far from its end."""
    begun, pauses = Event(), []
    adapt = Budget.adapt

    def noted(self: Budget, made: int, seconds: float) -> None:
        adapt(self, made, seconds)
        pauses.append((made, self.attempts))
        begun.set()

    with numba_with(threads=threads):
        long_work(kind, 10)()  # compiled now
        work = long_work(kind, LONG[kind])
        monkeypatch.setattr(Budget, "adapt", noted)
        threads_of_the_test.counts = ()
        assert interrupted(work, begun)
        assert set(threads_of_the_test.counts) == {threads}
        # Of the pauses, and of what it may have gone on to. A reverse takes each tile's steps by themselves.
        most = sum(made for made, _ in pauses) + pauses[-1][1]
        assert most < LONG[kind] * (4 / threads if kind == "discrete" else 1) / 2
        require_same_bits(solved(), solved())


def test_ctrl_c_leaves_no_worker_waiting_for_another() -> None:
    """Nor takes the memory of those that are at work."""
    pool = Workers(idle=1)
    meeting, begun, go_on, ended = Barrier(2, timeout=60), Event(), Event(), []

    def task() -> None:
        meeting.wait()
        begun.set()
        go_on.wait(60)
        ended.append(held() is not None)

    def release() -> None:
        begun.wait(60)
        time.sleep(2.0)  # after the Ctrl-C
        go_on.set()

    memory = values(1)
    held = weakref.ref(memory)

    def work(memory: Tensor) -> None:
        with pool.reserved(2):
            pool.run([task, task], memory)

    releasing = Thread(target=release)
    releasing.start()
    assert interrupted(lambda memory=memory: work(memory), begun)
    assert ended == [True, True]
    releasing.join()
    del memory
    gc.collect()
    assert held() is None
    pool.close()


@pytest.mark.parametrize("started", [0, 1, 2, 3])
def test_fewer_threads_than_are_wanted(started: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that there are have started before one of them is at work."""
    start, left = Thread.start, [None] * started

    def limited(self: Thread) -> None:
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        start(self)

    pool = Workers(idle=7)
    monkeypatch.setattr(Thread, "start", limited)
    # One of the threads is in the place of this one.
    expected = max(1, started)
    for _ in range(2):
        with pool.reserved(4) as count:
            assert count == expected
            with pool.reserved(4) as other:
                assert other == 1
            meeting, ended = Barrier(count, timeout=60), []

            def task(meeting: Barrier = meeting, ended: list[int] = ended) -> None:
                meeting.wait()
                ended.append(1)

            pool.run([task] * count, None)
            assert len(ended) == count
    monkeypatch.undo()
    with pool.reserved(8) as count:
        assert count == 8
    pool.close()


def test_a_task_that_fails_says_so() -> None:
    """When the others are done."""
    pool, go_on, ended = Workers(idle=2), Event(), []

    def fails() -> None:
        go_on.set()
        raise ZeroDivisionError

    def goes_on() -> None:
        go_on.wait(60)
        time.sleep(0.1)
        ended.append(True)

    with pool.reserved(3) as count:
        assert count == 3
        for tasks in ([fails, goes_on, goes_on], [goes_on, fails, goes_on]):
            ended.clear()
            with pytest.raises(ZeroDivisionError):
                pool.run(tasks, None)
            assert len(ended) == 2
    pool.close()


AFTER_THE_MAIN_THREAD = """
import threading, time
from flashode.engines.numba.workers import Workers

def work():
    threading.main_thread().join()
    time.sleep(0.5)  # by then the interpreter waits for this thread
    pool, meeting = Workers(idle=1), threading.Barrier(2, timeout=60)
    for _ in range(2):
        with pool.reserved(2) as count:
            assert count == 2
            pool.run([meeting.wait] * 2, None)
    print("solved")

threading.Thread(target=work).start()
"""


def test_a_thread_that_outlives_the_main_one_has_workers() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AFTER_THE_MAIN_THREAD], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (0, "solved\n"), done.stderr


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
