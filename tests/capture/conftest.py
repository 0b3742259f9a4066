"""What the tests of capture share: no capture of one test is found by another."""

from collections.abc import Iterator

import pytest

import flashode.capture


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    flashode.capture._cache.clear()
    yield
    flashode.capture._cache.clear()
