"""Everything here runs in the compiled engine and says so where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flashode.capture
from flashode.declined import Declined
from flashode.engines import load, use_engine


@pytest.fixture(autouse=True)
def native() -> Iterator[None]:
    loaded = load("native")
    if isinstance(loaded, Declined):
        pytest.skip(f"no native engine: {loaded.reason}")
    with use_engine("native"):
        yield


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    flashode.capture._cache.clear()
    yield
    flashode.capture._cache.clear()
