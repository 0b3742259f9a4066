"""Which engines a solve may run in, by the innermost ``use_engine``, or by the environment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

AUTO = "auto"
# What holds where no use_engine does.
VARIABLE = "FLASHODE_ENGINE"
_selected: ContextVar[str] = ContextVar("flashode_engine", default=os.environ.get(VARIABLE) or AUTO)


@contextmanager
def selecting(name: str) -> Iterator[None]:
    """Within it an engine of that name is the only one, or any is with ``AUTO``."""
    token = _selected.set(name)
    try:
        yield
    finally:
        _selected.reset(token)


def selected() -> str:
    """The name that the present ``use_engine`` gives, or the environment."""
    return _selected.get()


def allows(name: str) -> bool:
    """Whether the present ``use_engine`` does."""
    return _selected.get() in (AUTO, name)


def insists(name: str) -> bool:
    """Whether the present ``use_engine`` allows no other."""
    return _selected.get() == name
