"""Which engines a solve may run in: ``use_engine`` says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from flashode.blocks import Block
from flashode.engines.registry import REGISTRY
from flashode.wording import shown

_AUTO = "auto"
_selected: ContextVar[str] = ContextVar("flashode_engine", default=_AUTO)


def use_engine(name: str) -> Block[None]:
    """Choose the engine of every solve in the ``with`` block, or in a function that it decorates.

    Args:
        name: ``"auto"`` takes the fastest engine that can run the function and warns once where that is not
            the fastest of all, unless PyTorch is faster; the name of an engine, such as ``"eager"``, insists.

    Raises:
        ValueError: If there is no engine of that name, or, from a solve inside the block, if the engine
            cannot run it.
    """
    accepted = (_AUTO, *REGISTRY)
    if name not in accepted:
        raise ValueError(f"engine must be one of {', '.join(map(repr, accepted))}, got {shown(name)}")
    return Block(partial(_using, name), f"use_engine({name!r})")


@contextmanager
def _using(name: str) -> Iterator[None]:
    token = _selected.set(name)
    try:
        yield
    finally:
        _selected.reset(token)


def allows(name: str) -> bool:
    """Whether the present ``use_engine`` does."""
    return _selected.get() in (_AUTO, name)


def insists(name: str) -> bool:
    """Whether the present ``use_engine`` allows no other."""
    return _selected.get() == name
