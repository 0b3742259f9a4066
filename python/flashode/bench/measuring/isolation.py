"""Runs a function in a fresh process: nothing that an earlier measurement left behind is there."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing.context import ForkServerContext
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# What takes a second to import and nothing to have: children are forked from a process that has it. torchode
# is not among them: its import starts PyTorch's threads, and a child would wait for ever for what it lacks.
_PRELOADED = ("torch", "flashode", "scipy.integrate", "torchdiffeq", "diffrax", "torchdyn.core")


class Died(Exception):
    """The process ended without an answer."""


def isolated(threads: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of a function, called in a process of its own on so many threads.

    Arguments and result are pickled. An exception that it raises is raised here.

    Raises:
        Died: If the process died.
    """
    with ProcessPoolExecutor(1, _context(), initializer=_limit, initargs=(threads,)) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool:
            raise Died("its process died: of a fault, or because memory was not enough") from None


Name = TypeVar("Name")


def each_or_together(
    names: Sequence[Name], measure: Callable[[Sequence[Name]], list[T]], lost: Callable[[Name, Died], T]
) -> list[T]:
    """Measures all names in one process; if that dies, each name in a process of its own.

    Args:
        names: What is measured.
        measure: Measures those given in a process of its own.
        lost: What stands for a name whose process died.
    """
    try:
        return measure(names)
    except Died:
        results: list[T] = []
        for name in names:
            try:
                results += measure([name])
            except Died as reason:
                results.append(lost(name, reason))
        return results


@cache
def _context() -> ForkServerContext:
    # numpy's threads go on disturbing whoever runs after them: beside SciPy torchdiffeq took twice as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    present = [name for name in _PRELOADED if importlib.util.find_spec(name.partition(".")[0]) is not None]
    context.set_forkserver_preload(present)
    return context


def _limit(threads: int) -> None:
    # jax sizes its pool by the processors that the process may use, torch is told.
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])
    import torch

    torch.set_num_threads(threads)
