"""Context managers of the public names: entered, as decorators, and dropped by mistake."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest
import torch

import flashode

pytestmark = pytest.mark.usefixtures("compiled")


def engine() -> str:
    """Which engine runs a solve now."""
    with flashode.record() as report:
        flashode.odeint(lambda t, y: -y, torch.ones(2), torch.linspace(0.0, 1.0, 2))
    return report.solves[0].engine


@pytest.mark.parametrize(
    ("drop", "call"),
    [
        (lambda: flashode.use_engine("eager"), r"use_engine\('eager'\)"),
        (lambda: flashode.record(), r"record\(\)"),
    ],
    ids=["use_engine", "record"],
)
def test_one_that_is_dropped_says_so(drop: Callable[[], Any], call: str) -> None:
    with pytest.warns(UserWarning, match=rf"flashode\.{call} does nothing by itself: write with ") as caught:
        drop()
    (warning,) = caught
    assert warning.filename == __file__


def test_an_engine_is_checked_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"engine must be one of 'auto', 'cuda', 'native', 'numba', 'eager', got 'fast'"
    ):
        flashode.use_engine("fast")


def test_one_that_is_used_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with flashode.use_engine("eager"):
            assert engine() == "eager"
        block = flashode.use_engine("eager")
        for _ in range(2):
            with block, block:
                assert engine() == "eager"
            assert engine() == "native"
        decorated = flashode.use_engine("eager")(engine)
        del block, decorated
        gc.collect()


def test_a_decorated_function_in_overlapping_calls() -> None:
    barrier = Barrier(2)
    results: list[str] = []

    @flashode.use_engine("eager")
    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        barrier.wait(timeout=60)
        results.append(engine_without_recording())

    def engine_without_recording() -> str:
        plan = flashode.explain(lambda t, y: -y, torch.ones(2)).engine
        assert plan is not None
        return plan

    threads = [Thread(target=deep, args=(1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["eager"] * 4
    assert engine() == "native"


def test_an_error_leaves_the_block() -> None:
    with pytest.raises(ZeroDivisionError), flashode.use_engine("eager"):
        _ = 1 / 0
    assert engine() == "native"
