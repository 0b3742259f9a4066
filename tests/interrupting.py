"""Ctrl-C at a function that is at work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def interrupted(work: Callable[[], object], begun: threading.Event | None = None) -> bool:
    """Whether a Ctrl-C ends it: one when it is told that it has begun, or 0.3 seconds after its start."""
    # A shell that starts a process in the background lets it ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def send() -> None:
        if begun is None or begun.wait(120):
            os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.3 if begun is None else 0.0, send)
    timer.start()
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    return False
