"""The threads that solves share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock
from typing import Any

Task = Callable[[], None]


class Workers:
    """Threads beside the one that solves.

    The tasks of a solve wait for each other: all of them run at once, or would for ever. A solve is
    therefore given no more threads than are idle, and its bits do not depend on how many that are.
    """

    def __init__(self, idle: int | None = None) -> None:
        """Starts none before a solve asks for some.

        Args:
            idle: How many there are; None is one for each processor but the one that solves.
        """
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._idle = (os.cpu_count() or 1) - 1 if idle is None else idle

    @contextmanager
    def reserved(self, wanted: int) -> Iterator[int]:
        """Reserves threads.

        Args:
            wanted: How many tasks would be run at once.

        Yields:
            How many can be, one of them in the place of this thread.
        """
        with self._lock:
            beside = min(wanted - 1, self._idle)
            self._idle -= beside
            if beside and self._pool is None:
                # Each of those, and one for the first task of each solve, which has at least one of them.
                self._pool = ThreadPoolExecutor(2 * (beside + self._idle), "flashode")
        try:
            yield 1 + beside
        finally:
            with self._lock:
                self._idle += beside

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
        assert self._pool is not None
        begun = self._pool.submit(_together, self._pool, tasks, memory)
        try:
            begun.result()
        except BaseException:
            wait([begun])  # to their next pause: the threads are others' when these are done with them
            raise

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def forget(self) -> None:
        """Has no threads any more: a process that was forked has none of them."""
        self.__init__()  # type: ignore[misc]


def _together(pool: Executor, tasks: Sequence[Task], memory: Any) -> None:
    """Runs tasks at once, the first of them in this thread, and has their memory as long as they run."""
    others = [pool.submit(task) for task in tasks[1:]]
    tasks[0]()
    for other in others:
        other.result()


workers = Workers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=workers.forget)
