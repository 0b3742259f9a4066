"""Solves of the Numba engine with workers and pauses of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

import flashode
from flashode.engines import REGISTRY, use_engine
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.numba.backend import NumbaBackend


@contextmanager
def numba_with(*, attempts: int | None = None, threads: int | None = None) -> Iterator[None]:
    """Solves in it are the Numba engine's, with nothing remembered of others.

    Args:
        attempts: Until a solve pauses; None lets time decide.
        threads: How many workers a solve has; None lets its work decide.
    """
    flashode.capture._cache.clear()  # type: ignore[attr-defined]
    engine = CompiledEngine(NumbaBackend(attempts=attempts, threads=threads))
    with pytest.MonkeyPatch.context() as patch, use_engine("numba"):
        patch.setitem(REGISTRY, "numba", lambda: engine)
        yield
