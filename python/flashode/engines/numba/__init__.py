"""Solves compiled by Numba, on the CPU: where no compiled module fits the machine."""

from __future__ import annotations

import importlib.util
import os

from flashode.declined import Declined
from flashode.engines.compiled.engine import CompiledEngine


def engine() -> CompiledEngine | Declined:
    """The engine, or why this installation has none."""
    # There are few versions of NumPy and Python that one of Numba takes: others are no reason not to solve.
    try:
        if importlib.util.find_spec("numba") is None:
            return Declined("numba is not installed: pip install flashode[numba]", absent=True)
        from flashode.engines.numba.backend import NumbaBackend
    except Exception as error:
        return Declined(f"numba does not work in this process: {_why(error)}")
    return CompiledEngine(NumbaBackend())


def _why(error: Exception) -> str:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return "the environment variable NUMBA_DISABLE_JIT is set"
    return f"{type(error).__name__}: {error}"
