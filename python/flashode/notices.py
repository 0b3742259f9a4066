"""Warnings that point at the caller's own line."""

from __future__ import annotations

import inspect
import os
import sys
import threading
import warnings
import weakref
from functools import partial
from pathlib import Path

import torch
from torch import nn

# Torch too: between a reverse pass and who asked for it there is autograd.
_PASSED = tuple(str(Path(file).parent) + os.sep for file in (__file__, torch.__file__))
_counter = threading.local()
_said: weakref.WeakKeyDictionary[object, set[str]] = weakref.WeakKeyDictionary()


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


def said_of(func: object) -> set[str]:
    """What was warned of about a user's function so far, for the caller to read and to add to."""
    return _said.setdefault(_identity(func), set())


def _identity(func: object) -> object:
    """A key of a function, the same where a lambda, method, partial or object is made anew for each solve."""
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
