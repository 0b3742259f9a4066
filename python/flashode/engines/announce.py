"""Saying what takes long while it does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 1.0  # seconds


@contextmanager
def announced(what: str) -> Iterator[None]:
    """Write one line to stderr if the block is still running after a second."""
    timer = threading.Timer(_PATIENCE, lambda: print(f"flashode: {what}", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
