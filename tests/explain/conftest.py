"""What is explained here is what the compiled engine makes of a field."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def native(compiled: None) -> None:
    pass
