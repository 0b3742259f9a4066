"""Where the interpreter enters the loops."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import torch

from flashode.engines.numba.code_cache import SLOW_SECONDS, compiling
from flashode.engines.numba.loops.continuous import continuous
from flashode.engines.numba.loops.discrete import discrete
from flashode.engines.numba.loops.forward import forward
from flashode.engines.numba.loops.linked import compiled
from flashode.notices import told_if_slow

# Each with how many records it takes.
_LOOPS = {"forward": (forward, 4), "discrete_vjp": (discrete, 3), "continuous_vjp": (continuous, 5)}


@cache
def loop(name: str, dtype: torch.dtype) -> Callable[..., None]:
    """A function of records, each given by its address; it holds no lock of the interpreter's.

    Args:
        name: ``forward``, ``discrete_vjp`` or ``continuous_vjp``.
        dtype: Of the state.
    """
    function, records = _LOOPS[name]
    real = str(dtype).removeprefix("torch.")
    what = f"Numba compiles the steps of {name} for {real} states, once for this installation"
    with compiling, told_if_slow(what, SLOW_SECONDS):
        code = compiled(function, real)
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * records)(code.address)
