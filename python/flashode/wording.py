"""Users' values and functions, shortened for messages."""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable
from typing import Any

from torch import nn

# Tensors and arrays of more numbers are described by their shapes.
_MOST_NUMBERS = 6


class _Short(reprlib.Repr):
    """Python's own shortening, and tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.maxother = self.maxstring = 80

    def repr_Tensor(self, x: Any, level: int) -> str:
        if math.prod(x.shape) <= _MOST_NUMBERS:
            return " ".join(repr(x).split())
        return f"{type(x).__name__} of shape {tuple(x.shape)}"

    repr_ndarray = repr_Parameter = repr_Tensor


_short = _Short()


def shown(value: object) -> str:
    """The value's ``repr``, cut where it is long; of a large tensor or array its type and shape."""
    return _short.repr(value)


def misfit(function: Callable[..., Any], arguments: int) -> str | None:
    """Name and signature of a function that does not take so many positional arguments, else None."""
    called = function.forward if isinstance(function, nn.Module) else function
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):
        return None
    try:
        signature.bind(*range(arguments))
    except TypeError:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return f"{name}, which takes {signature.replace(return_annotation=inspect.Signature.empty)}"
    return None
