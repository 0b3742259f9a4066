"""The threads that solves share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

Task = Callable[[], None]
# What is to be done, and where it is told that it is; None ends a thread.
_Calls = SimpleQueue[tuple[Task, "Future[None]"] | None]


class Workers:
    """Threads beside the one that solves.

    The tasks of a solve wait for each other: all of them run at once, or would for ever. A solve is
    therefore given no more threads than are idle and have started, and its bits do not depend on how many
    that are.

    An executor of the standard library would not do: the interpreter ends it before it waits for the user's
    threads, which may still solve, and it starts a thread only when a task is there, with others at work.

    The threads are daemons, for which the interpreter does not wait when it ends. Those of a solve that it
    waits for are idle then. One that is at work for a solve of a daemon goes on outside of the interpreter,
    until it pauses, and is stopped where it would come back; what its frame holds is not freed.
    """

    def __init__(self, idle: int | None = None) -> None:
        """Starts none before a solve asks for some.

        Args:
            idle: How many there are; None is one for each processor but the one that solves.
        """
        self._most = (os.cpu_count() or 1) - 1 if idle is None else idle
        self.renew()

    def renew(self) -> None:
        """Has no threads any more: a process that was forked has none of them."""
        self._lock = Lock()
        self._calls: _Calls = SimpleQueue()
        self._threads: list[Thread] = []
        self._idle = self._most
        self._promised = 0

    @contextmanager
    def reserved(self, wanted: int) -> Iterator[int]:
        """Reserves threads.

        Args:
            wanted: How many tasks would be run at once.

        Yields:
            How many can be, one of them in the place of this thread.
        """
        with self._lock:
            beside = self._promise(min(wanted - 1, self._idle))
        try:
            yield 1 + beside
        finally:
            with self._lock:
                self._idle += beside
                self._promised -= 1 + beside if beside else 0

    def _promise(self, beside: int) -> int:
        """Promises so many threads and one for the first task, or fewer, or none if there is one alone."""
        if beside < 1:
            return 0
        wanted = self._promised + 1 + beside
        while len(self._threads) < wanted and self._start():
            pass
        beside = max(0, min(wanted, len(self._threads)) - self._promised - 1)
        self._idle -= beside
        self._promised += 1 + beside if beside else 0
        return beside

    def _start(self) -> bool:
        """Starts a thread; whether the system has one."""
        thread = Thread(target=_serve, args=(self._calls,), name="flashode", daemon=True)
        try:
            thread.start()
        except (MemoryError, RuntimeError):
            return False
        self._threads.append(thread)
        return True

    def run(self, tasks: Sequence[Task], memory: object) -> None:
        """Runs as many tasks as were reserved, at once.

        A Ctrl-C may end this thread's work between any two of its instructions. Where tasks wait for each
        other, none of them is therefore begun by it: all go on to their next pause.

        Args:
            tasks: What is run.
            memory: Holds what they read and write.
        """
        if len(tasks) == 1:
            tasks[0]()
            return
        begun = _called(self._calls, partial(_together, self._calls, tasks, memory))
        try:
            begun.result()
        except BaseException:
            wait([begun])  # to their next pause: the threads are others' when these are done with them
            raise

    def close(self) -> None:
        """Ends the threads."""
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()
        self.renew()


def _called(calls: _Calls, task: Task) -> Future[None]:
    """Has a thread run a task."""
    done: Future[None] = Future()
    calls.put((task, done))
    return done


def _serve(calls: _Calls) -> None:
    """Runs tasks as they come."""
    while (call := calls.get()) is not None:
        task, done = call
        try:
            task()
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)
        # What they hold is not held until the next one comes.
        del call, task, done


def _together(calls: _Calls, tasks: Sequence[Task], memory: Any) -> None:
    """Runs tasks at once, the first of them in this thread, and has their memory as long as they run."""
    others = [_called(calls, task) for task in tasks[1:]]
    try:
        tasks[0]()
    finally:
        wait(others)
    for other in others:
        other.result()


workers = Workers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.renew)
