"""How fast: every workload, forward and with each sort of gradient, beside every peer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from flashode.bench.contenders import DISCRETE, FORWARD, contenders
from flashode.bench.measuring.race import isolated_race
from flashode.bench.studies import Case, Settings, register
from flashode.bench.tasks.workloads import WORKLOADS

QUICK = ("demo",)
# Gradients by the adjoint equations are among those of the study of gradients, and take long to compile.
QUICK_MODES = (FORWARD, DISCRETE)


@register("workloads", "How fast is a solve, and how fast is training?")
def cases(settings: Settings) -> Iterator[Case]:
    """A case for each workload: all modes share its true answer."""
    chosen = settings.workloads or (QUICK if settings.quick else tuple(WORKLOADS))
    for name in (name for name in chosen if name in WORKLOADS):
        workload = replace(WORKLOADS[name], device=settings.device)
        names = tuple(
            (one.library, one.mode)
            for mode in workload.modes
            if not settings.quick or mode in QUICK_MODES
            for one in contenders(mode)
            if settings.wants(one)
        )
        measure = partial(isolated_race, settings.threads, "workloads", workload, names, settings.effort)
        yield Case(workload.name, measure)
