"""Which engines a solve may run in, by the innermost ``use_engine``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

AUTO = "auto"
_selected: ContextVar[str] = ContextVar("flashode_engine", default=AUTO)


@contextmanager
def selecting(name: str) -> Iterator[None]:
    """Within it an engine of that name is the only one, or any is with ``AUTO``."""
    token = _selected.set(name)
    try:
        yield
    finally:
        _selected.reset(token)


def allows(name: str) -> bool:
    """Whether the present ``use_engine`` does."""
    return _selected.get() in (AUTO, name)


def insists(name: str) -> bool:
    """Whether the present ``use_engine`` allows no other."""
    return _selected.get() == name
