"""What the tests of `flashode run` share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import flashode


@pytest.fixture(autouse=True)
def _unpatched() -> Iterator[None]:
    """The command patches to the end of its process."""
    yield
    flashode.unpatch_torchdiffeq()
