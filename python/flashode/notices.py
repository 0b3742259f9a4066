"""Warnings that point at the caller's own line."""

from __future__ import annotations

import os
import sys
import threading
import warnings
from pathlib import Path

import torch

# Torch too: between a reverse pass and who asked for it there is autograd.
_PASSED = tuple(str(Path(file).parent) + os.sep for file in (__file__, torch.__file__))
_counter = threading.local()


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns of the line that called into this package or had torch do so, however deep below it this is."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED):
        frame = frame.f_back
        level += 1
    _counter.given = given() + 1
    warnings.warn(message, category, stacklevel=level)


def given() -> int:
    """How many this thread has given, those among them that a filter hid."""
    return getattr(_counter, "given", 0)
