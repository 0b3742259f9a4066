"""The right answers: one for each workload, however many contenders solve it."""

from collections.abc import Callable
from functools import cache

import pytest

from flashode.bench.contenders import FORWARD, contender
from flashode.bench.tasks.answers import Answer
from flashode.bench.tasks.reference import reference, shortcoming
from flashode.bench.tasks.workloads import WORKLOADS

Judge = Callable[[str, str, Answer], str | None]


@cache
def truth(name: str, gradients: bool) -> Answer | None:
    """The exact answer, or None for a random field."""
    return reference(WORKLOADS[name], gradients=gradients)


@cache
def standard(name: str, mode: str) -> Answer:
    """What our engine in plain PyTorch makes of it, which shows what error is usual."""
    prepared = contender("flashode eager", mode).prepare(WORKLOADS[name])
    return prepared.read(prepared.run())


@pytest.fixture(scope="session")
def shortcoming_of() -> Judge:
    """Given a workload's name, a mode and an answer: what is wrong with the answer, or None."""

    def judge(name: str, mode: str, answer: Answer) -> str | None:
        usual = standard(name, mode)
        return shortcoming(WORKLOADS[name], answer, usual, truth(name, mode != FORWARD) or usual)

    return judge
