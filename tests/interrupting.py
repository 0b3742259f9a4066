"""Ctrl-C at a function that is at work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable


def interrupted(work: Callable[[], object]) -> bool:
    """Whether a Ctrl-C 0.3 seconds after its begin ends it."""
    # A shell that starts a process in the background lets it ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    try:
        work()
    except KeyboardInterrupt:
        return True
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    return False
