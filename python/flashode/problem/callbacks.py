"""The callbacks that programs for torchdiffeq hang on their function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from flashode import notices
from flashode.methods import Method, SciPy

Callback = Callable[[torch.Tensor, Any, torch.Tensor], object]

_KINDS = ("step", "accept_step", "reject_step")


@dataclass(frozen=True)
class Callbacks:
    """The function's callbacks as the user wrote them, of ``(t0, y0, dt)``; None where there is none."""

    step: Callback | None = None
    accept: Callback | None = None
    reject: Callback | None = None

    def __bool__(self) -> bool:
        return self.step is not None or self.accept is not None or self.reject is not None


NO_CALLBACKS = Callbacks()


@cache
def callback_names(suffix: str = "") -> tuple[str, ...]:
    """What a function's callbacks are called."""
    return tuple(f"callback_{kind}{suffix}" for kind in _KINDS)


def find_callbacks(func: object, method: Method, suffix: str = "") -> Callbacks:
    """The function's callbacks, with a warning for those that the method does not support."""
    names = callback_names(suffix)
    if not _may_have(func, names):
        return NO_CALLBACKS
    callbacks: dict[str, Callback | None] = {
        kind: getattr(func, name, None) for kind, name in zip(_KINDS, names, strict=True)
    }
    unsupported: tuple[str, ...] = () if method.control == "error" else ("accept_step", "reject_step")
    why = "takes fixed steps"
    if isinstance(method, SciPy):
        unsupported, why = _KINDS, "is run by SciPy"
    ignored = [kind for kind in unsupported if callbacks[kind] is not None]
    if ignored:
        notices.warn(
            f"method {method.name!r} {why} and does not call "
            f"{', '.join(f'callback_{kind}{suffix}' for kind in ignored)}"
        )
        callbacks.update(dict.fromkeys(ignored))
    return Callbacks(*callbacks.values())


def _may_have(func: object, names: tuple[str, ...]) -> bool:
    """Whether a function has such attributes; asked for what it has not, a module takes microseconds."""
    kind: Any = type(func)
    if not (isinstance(func, nn.Module) and kind.__getattr__ is nn.Module.__getattr__):
        return any(hasattr(func, name) for name in names)
    own, parameters, buffers, modules = func.__dict__, func._parameters, func._buffers, func._modules
    # No generator: this is asked at every solve.
    for name in names:
        if name in own or name in parameters or name in buffers or name in modules or hasattr(kind, name):
            return True
    return False
