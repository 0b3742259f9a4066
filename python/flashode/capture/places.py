"""Where in the user's own code, and in which of the user's modules, something happens."""

from __future__ import annotations

import os
import sys
import traceback
import types
from typing import NamedTuple

import torch
from torch import nn

from flashode.declined import Place

_FOLDERS = (os.path.dirname(torch.__file__), os.path.dirname(os.path.dirname(__file__)))
_NOT_USERS = (*(folder + os.sep for folder in _FOLDERS), "<frozen")
# What calls the user's function: frames further out are those of its caller.
_CALLING = os.path.join(os.path.dirname(__file__), "tracing", "trace.py")


class Site(NamedTuple):
    """What is being run: the line of the user's function, and the innermost module, torch's or the user's."""

    line: Place | None
    module: nn.Module | None


def running() -> Site:
    """What is being run at this moment."""
    line, module = None, None
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _CALLING:
        if line is None and _users(frame.f_code.co_filename):
            line = frame.f_code.co_filename, frame.f_lineno
        if module is None:
            module = _module_of(frame)
        if line is not None and module is not None:
            break
        frame = frame.f_back
    return Site(line, module)


def raised_at(error: BaseException) -> Place | None:
    """The innermost line of the user's code that an exception came through."""
    lines = [(frame.filename, frame.lineno or 0) for frame in traceback.extract_tb(error.__traceback__)]
    return next((line for line in reversed(lines) if _users(line[0])), None)


def _module_of(frame: types.FrameType) -> nn.Module | None:
    """The module whose ``forward`` a frame runs."""
    code = frame.f_code
    if code.co_name != "forward" or not code.co_argcount:
        return None
    owner = frame.f_locals.get(code.co_varnames[0])
    return owner if isinstance(owner, nn.Module) else None


def _users(filename: str) -> bool:
    return not filename.startswith(_NOT_USERS)
