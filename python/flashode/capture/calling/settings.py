"""Settings of torch that outlast a call which changes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# How to read them, and how to set them.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "whether torch computes gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
}


class Settings:
    """The settings as they are."""

    def __init__(self) -> None:
        self._values = {name: read() for name, (read, _) in _SETTINGS.items()}

    def restored(self) -> list[str]:
        """Puts back what has changed since; returns what it was."""
        changed = [name for name, (read, _) in _SETTINGS.items() if read() != self._values[name]]
        for name in changed:
            _SETTINGS[name][1](self._values[name])
        return changed
