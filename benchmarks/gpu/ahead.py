"""Kernels that are compiled before they are needed, several at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import flashode
from benchmarks.gpu.machines import ENGINE, Watched, solving
from flashode.bench.contenders import CONTINUOUS, DISCRETE
from flashode.bench.tasks.workloads import Workload

COMPILERS = 8


@contextmanager
def compiled_ahead(
    machine: Watched, jobs: Sequence[Callable[[], object]]
) -> Iterator[Sequence[Future[None] | None]]:
    """Within it all jobs are done beside what else there is to do; those that are left at its end are not.

    Args:
        machine: Where their kernels are compiled. The host, which compiles one at a time, does so at once.
        jobs: Each compiles kernels. What one raises is raised again by whoever solves with them.

    Returns:
        The future of each, to wait for; None where there is nothing to wait for.
    """
    if machine.device_type == "cpu":
        with solving(machine):
            for job in jobs:
                _attempt(job)
        yield [None] * len(jobs)
        return
    # In the engine of this process, whose kernels are those of the machine.
    pool = ThreadPoolExecutor(COMPILERS)
    try:
        yield [pool.submit(_attempt, job) for job in jobs]
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(job: Callable[[], object]) -> None:
    with suppress(Exception), flashode.use_engine(ENGINE):
        job()


def precompile(workload: Workload, mode: str) -> None:
    """The kernels of a workload in one mode."""
    field, y0, times = workload.make()
    gradients = {DISCRETE: "discrete", CONTINUOUS: "continuous"}.get(mode)
    if gradients == "discrete":
        times.requires_grad_()
    flashode.precompile(
        field,
        y0,
        times,
        rtol=workload.rtol,
        atol=workload.atol,
        method=workload.method,
        options=workload.options,
        gradients=gradients,  # type: ignore[arg-type]
    )
