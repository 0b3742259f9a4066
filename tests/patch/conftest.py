"""What the tests of the patch share."""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import flashode


@pytest.fixture(autouse=True)
def _unpatched() -> Iterator[None]:
    """No patch of one test is left to another."""
    yield
    flashode.unpatch_torchdiffeq()


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without torchdiffeq, or as if."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchdiffeq"]:
        monkeypatch.delitem(sys.modules, name)
    find = importlib.machinery.PathFinder.find_spec

    def find_others(fullname: str, *args: Any) -> importlib.machinery.ModuleSpec | None:
        return None if fullname.split(".", maxsplit=1)[0] == "torchdiffeq" else find(fullname, *args)

    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", find_others)
