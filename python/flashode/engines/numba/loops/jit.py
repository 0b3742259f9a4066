"""How loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

# Nothing raises within a loop, and none holds the interpreter's lock. "numpy": a division by zero gives
# what IEEE arithmetic says.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def exact(function: Function) -> Function:
    """Compiles a function whose every product and sum is rounded: times, and what steps are chosen by."""
    return numba.njit(**_OPTIONS)(function)


def fused(function: Function) -> Function:
    """Compiles a function whose products may be fused with sums: rows of numbers."""
    return numba.njit(**_OPTIONS, fastmath={"contract"})(function)


def inlined(function: Function) -> Function:
    """Makes a function part of those that call it, before they are compiled.

    A library for each would cost more than its few instructions.
    """
    return numba.njit(**_OPTIONS, inline="always")(function)
