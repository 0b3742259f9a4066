"""The engines that there are: a row for each, the fastest first; the last one takes every problem."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from flashode.declined import Declined
from flashode.engines.protocol import Engine


@cache
def _cuda() -> Engine | Declined:
    from flashode.engines import cuda

    return cuda.engine()


@cache
def _native() -> Engine | Declined:
    from flashode.engines import native

    return native.engine()


@cache
def _numba() -> Engine | Declined:
    from flashode.engines import numba

    return numba.engine()


@cache
def _eager() -> Engine:
    from flashode.engines import eager

    return eager.EagerEngine()


# Each gives the engine, imported when it is first asked for, or says why this installation has none.
REGISTRY: dict[str, Callable[[], Engine | Declined]] = {
    "cuda": _cuda,
    "native": _native,
    "numba": _numba,
    "eager": _eager,
}

# The type of the devices that an engine is for; those that are not named take states on any.
DEVICES = {"cuda": "cuda", "native": "cpu", "numba": "cpu"}

# Engines for machines on which another one is not installed: where that is, they are asked only by name.
STAND_INS = {"numba": "native"}

# The engine that takes every problem, a step at a time in plain PyTorch.
FALLBACK = [*REGISTRY][-1]
