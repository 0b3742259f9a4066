"""What every test folder shares."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest

import capabilities
import flashode.capture
from cuda.host import Host
from features import call_of
from flashode.declined import Declined
from flashode.engines import REGISTRY, EngineDeclined, use_engine
from flashode.engines.compiled.engine import CompiledEngine

# What engines compile is kept for the next run of the tests, and out of the user's own cache.
os.environ.setdefault("FLASHODE_CACHE", str(Path(__file__).parents[1] / ".cache" / "flashode"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-cuda", action="store_true", help="fail tests that need a GPU where there is none"
    )


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """No capture of one test is found by another."""
    flashode.capture._cache.clear()
    yield
    flashode.capture._cache.clear()


@pytest.fixture(autouse=True)
def _threads_of_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread by which a process of pytest-xdist hears of its next test changes nothing of a function."""
    own = len(sys._current_frames())
    monkeypatch.setattr("flashode.capture._is_only_thread", lambda: len(sys._current_frames()) <= own)


def _require(name: str) -> None:
    """Skips the test where this installation lacks the engine."""
    loaded = REGISTRY[name]()
    if isinstance(loaded, Declined):
        pytest.skip(f"no {name} engine: {loaded.reason}")


@cache
def _host() -> Host:
    return Host()


@cache
def _cuda_on_host() -> CompiledEngine:
    """The CUDA engine without a GPU: it takes states on the CPU."""
    from flashode.engines.cuda.backend import CudaBackend

    return CompiledEngine(CudaBackend(_host()))


@pytest.fixture(params=list(REGISTRY))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Runs the test once for each engine that this installation has; solves in it insist on that engine."""
    _require("native" if request.param == "cuda" else request.param)
    if request.param == "cuda":
        monkeypatch.setitem(REGISTRY, "cuda", _cuda_on_host)
        # Threads run in another order in each test, which is to change nothing.
        monkeypatch.setattr(_host(), "order", zlib.crc32(request.node.nodeid.encode()))
    with use_engine(request.param):
        yield request.param


@pytest.fixture
def compiled() -> None:
    """Skips the test where this installation has no compiled module."""
    _require("native")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Generator[None, None, None]:
    """A test over all engines says nothing about one that lacks what it asks for, and says so.

    Only where the table of capabilities has it; any other decline is a failure.
    """
    try:
        return (yield)
    except (EngineDeclined, pytest.fail.Exception) as error:
        # Within pytest.warns a solve that is declined is one that does not warn.
        declined = error.__context__ if isinstance(error, pytest.fail.Exception) else error
        if not isinstance(declined, EngineDeclined):
            raise
        callspec = getattr(item, "callspec", None)
        engine = "" if callspec is None else callspec.params.get("engine", "")
        marked = [feature for mark in item.iter_markers("needs") for feature in mark.args]
        excuse = capabilities.excuse(engine, declined, call_of(declined), marked)
        if excuse is None:
            raise
        pytest.skip(excuse)
