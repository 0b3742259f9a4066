"""Warnings that point at the caller's own line, and word of what takes long."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Timer

import torch
from torch import nn

# Torch's too: a reverse pass is called through autograd.
_PASSED = tuple(str(Path(file).parent) + os.sep for file in (__file__, torch.__file__))
_said: weakref.WeakKeyDictionary[object, set[str]] = weakref.WeakKeyDictionary()


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warns at the user's line that called into this package, directly or through torch."""
    level = 2
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PASSED):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level)


def said_of(func: object) -> set[str]:
    """The warnings about a user's function so far; whoever warns adds to it."""
    return _said.setdefault(_identity(func), set())


@contextmanager
def told_if_slow(what: str, seconds: float) -> Iterator[None]:
    """Prints what goes on, to stderr, while it goes on: once it has taken so many seconds."""
    timer = Timer(seconds, lambda: print(f"flashode: {what} …", file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # a capture looks whether other threads run


def _identity(func: object) -> object:
    """A key of a function, the same for a lambda, method, partial or object that each solve makes anew."""
    while isinstance(func, partial):
        func = func.func
    func = getattr(func, "__func__", func)
    key = getattr(func, "__code__", func)
    if key is func and not isinstance(func, nn.Module) and not inspect.isroutine(func):
        return type(func)
    try:
        hash(key)
        weakref.ref(key)
    except TypeError:
        return type(key)
    return key
