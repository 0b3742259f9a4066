"""Everything here runs in the compiled engine and says so where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flashode.engines import use_engine


@pytest.fixture(autouse=True)
def native(compiled: None) -> Iterator[None]:
    with use_engine("native"):
        yield
