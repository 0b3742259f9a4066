"""Every workload in every mode by every contender, its answer checked and then timed by pytest-benchmark.

pytest benchmarks/ -k 'demo and forward'
pytest benchmarks/ --benchmark-disable      # only checks the answers
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flashode.bench.contenders import Contender, Unsupported, contenders
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.workloads import WORKLOADS, Workload

# What peers warn of is theirs to mend, and says nothing about an answer.
pytestmark = pytest.mark.filterwarnings("default")


def meetings() -> Iterator[Any]:
    """Each contender with each workload that knows its mode."""
    for workload in WORKLOADS.values():
        for mode in workload.modes:
            for one in contenders(mode):
                yield pytest.param(
                    workload, one, id=f"{workload.name}-{mode}-{one.library.replace(' ', '_')}"
                )


@pytest.mark.parametrize(("workload", "one"), list(meetings()))
def test_workload(
    benchmark: Any,
    shortcoming_of: Callable[[str, str, Answer], str | None],
    workload: Workload,
    one: Contender,
) -> None:
    if one.missing is not None:
        pytest.skip(one.missing)
    try:
        prepared = one.prepare(workload)
    except Unsupported as reason:
        pytest.skip(f"{one.label}: {reason}")
    lacking = shortcoming_of(workload.name, one.mode, prepared.read(prepared.run()))
    if lacking is not None and not one.library.startswith("flashode"):
        pytest.xfail(lacking)
    assert lacking is None
    benchmark.group = f"{workload.name}, {one.mode}"
    benchmark(prepared.run)
