"""How loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

from flashode.engines.numba.code_cache import CONTRACTED, STRICT

Function = TypeVar("Function", bound=Callable[..., Any])


def strict(function: Function) -> Function:
    """Compiles a function whose every product and sum is rounded: times, and what steps are chosen by."""
    return numba.njit(**STRICT)(function)


def fused(function: Function) -> Function:
    """Compiles a function whose products may be fused with sums: rows of numbers."""
    return numba.njit(**CONTRACTED)(function)


def expanded(function: Function) -> Function:
    """Makes a function part of those that call it, before they are compiled.

    A library for each would cost more than its few instructions.
    """
    return numba.njit(**STRICT, inline="always")(function)
