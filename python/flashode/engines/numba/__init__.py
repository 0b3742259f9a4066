"""Solves compiled by Numba, on the CPU: where no compiled module fits the machine."""

from __future__ import annotations

import importlib.util

from flashode.declined import Declined
from flashode.engines.compiled.engine import CompiledEngine


def engine() -> CompiledEngine | Declined:
    """The engine, or why this installation has none."""
    # There are few versions of NumPy and Python that one of Numba takes: others are no reason not to solve.
    try:
        if importlib.util.find_spec("numba") is None:
            return Declined("numba is not installed: pip install flashode[numba]", absent=True)
        from numba import config  # and with it all of Numba, and of llvmlite
    except Exception as error:
        return _does_not_work(f"{type(error).__name__}: {error}")
    if config.DISABLE_JIT:
        return _does_not_work("the environment variable NUMBA_DISABLE_JIT is set")
    # Nothing is caught here: a module of our own that is broken raises.
    from flashode.engines.numba.backend import NumbaBackend

    return CompiledEngine(NumbaBackend())


def _does_not_work(reason: str) -> Declined:
    return Declined(f"numba does not work in this process: {reason}")
