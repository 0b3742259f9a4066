"""How much more threads help: three workloads of very different size, on one thread up to all."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from flashode.bench.contenders import DISCRETE, FORWARD, contenders
from flashode.bench.measuring.race import isolated_race
from flashode.bench.studies import Case, Settings, register
from flashode.bench.tasks.workloads import WORKLOADS

NAME = "threads"
# Much work in each trajectory, many trajectories, and a single one, which no thread can share.
CHOSEN = ("wide", "flow", "spiral")
MODES = (FORWARD, DISCRETE)
QUICK = ("wide",)
QUICK_MODES = (FORWARD,)


def counts(threads: int) -> tuple[int, ...]:
    """The powers of two below a number of threads, and that number."""
    return (*(2**power for power in range((threads - 1).bit_length())), threads)


@register(NAME, "What do more threads gain?")
def cases(settings: Settings) -> Iterator[Case]:
    """A case for each number of threads with each workload and mode."""
    if settings.device != "cpu":
        return
    for name in QUICK if settings.quick else CHOSEN:
        if settings.workloads is not None and name not in settings.workloads:
            continue
        for mode in QUICK_MODES if settings.quick else MODES:
            names = tuple((one.library, one.mode) for one in contenders(mode) if settings.wants(one))
            for count in counts(settings.threads):
                parameters = {"threads": count}
                measure = partial(
                    isolated_race, count, NAME, WORKLOADS[name], names, settings.effort, parameters
                )
                yield Case(f"{name}, {mode}, threads {count}", measure)
