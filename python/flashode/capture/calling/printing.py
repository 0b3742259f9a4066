"""Seeing to it that a call prints nothing.

Code that names ``print`` may call it or not, as its flags have it. Where the call does not come to it, the
checks on the flags tell when it will.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import types
from collections.abc import Iterator
from typing import Any

from flashode.capture.refusal import Refusal
from flashode.declined import Reason

_REASON = Reason("it calls print()", "print after the solve")


def watchable() -> bool:
    """Whether calls of ``print`` in this thread can be watched: another profiler is left alone."""
    return sys.getprofile() is None and getattr(builtins.print, "__self__", None) is builtins


@contextlib.contextmanager
def printing_refused(needed: bool) -> Iterator[list[Reason]]:
    """Keeps ``print`` from being called in this thread, by raising.

    Args:
        needed: whether it may be at all.

    Yields:
        what is to be said of calls, also where the exception was swallowed.
    """
    refused: list[Reason] = []
    if not needed:
        yield refused
        return
    if not watchable():
        raise Refusal(_REASON)

    def watching(frame: types.FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument is builtins.print:
            refused.append(_REASON.within((frame.f_code.co_filename, frame.f_lineno)))
            # In place of the call.
            raise Refusal(*refused)

    sys.setprofile(watching)
    try:
        yield refused
    finally:
        sys.setprofile(None)
