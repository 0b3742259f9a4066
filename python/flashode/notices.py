"""Warnings that point at the caller's own line."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
import weakref
from functools import partial
from pathlib import Path

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
