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

_REASON = Reason("it calls print()", "print after the solve, or in a callback_step")


def watchable() -> bool:
    """Whether calls of ``print`` in this thread can be watched: another profiler is left alone."""
    return sys.getprofile() is None and getattr(builtins.print, "__self__", None) is builtins


@contextlib.contextmanager
def printing_refused(needed: bool) -> Iterator[None]:
    """Keeps ``print`` from being called in this thread.

    Args:
        needed: whether it may be at all.

    Raises:
        Refusal: it was about to be called.
    """
    if not needed:
        yield
        return
    if not watchable():
        raise Refusal(_REASON)
    refused = False

    def watching(frame: types.FrameType, event: str, argument: Any) -> None:
        nonlocal refused
        if event == "c_call" and argument is builtins.print:
            refused = True
            # In place of the call.
            raise Refusal(_REASON)

    sys.setprofile(watching)
    try:
        yield
    finally:
        sys.setprofile(None)
    if refused:
        raise Refusal(_REASON)
