"""What trusted functions read besides their arguments: settings that may change between solves, and files."""

from __future__ import annotations

import re
import types
from typing import Any

from flashode.capture.guards.relevance import Obstacle

_LIBRARIES = ("torch", "numpy")
_SETTINGS = re.compile(
    r"(?!set_|\w*tensor)"
    r"(_?(is|are|get|has|can|current|initial|memory)_\w+|\w+_(enabled|count)|[gs]et(err|errcall|bufsize)|seed)"
)
# Told by their arguments alone, or looked at otherwise.
_HARMLESS = frozenset(
    [
        *("is_complex", "is_conj", "is_floating_point", "is_neg", "is_nonzero", "is_same_size", "is_signed"),
        *("is_storage", "is_busday", "is_available", "is_grad_enabled", "is_inference_mode_enabled"),
        *("get_device", "get_default_dtype", "get_total_norm", "can_cast", "memory_format"),
        *("_is_integer", "_is_all_true", "_is_any_true"),
        # Solves are left alone by compilers.
        *("is_compiling", "is_dynamo_compiling", "is_exporting", "is_scripting", "is_tracing"),
    ]
)
# They hold settings as attributes.
_HOLDERS = tuple(
    f"torch.{name}" for name in ("backends", "cuda", "mps", "xpu", "cpu", "accelerator", "distributed")
)
_FILES = frozenset(
    [
        *("load", "from_file", "fromfile", "loadtxt", "genfromtxt", "memmap", "open_memmap", "DataSource"),
        *("save", "savez", "savez_compressed", "savetxt", "load_library", "hub"),
    ]
)


def setting_obstacle(module: types.ModuleType, name: str) -> Obstacle | None:
    """What stands in the way of code that takes a thing of this name from a trusted module."""
    home = module.__name__
    if home.partition(".")[0] not in _LIBRARIES or name in _HARMLESS:
        return None
    value = module.__dict__.get(name)
    held = getattr(value, "__name__", "").startswith(_HOLDERS)
    asks = _SETTINGS.fullmatch(name) and callable(value) and not _told_by_arguments(value)
    # Some modules compute what they are asked for.
    computed = hasattr(type(module), name) and not hasattr(types.ModuleType, name)
    holds = home.startswith(_HOLDERS) and name in module.__dict__
    if computed or holds or held or asks:
        what = f"reads the setting {home}.{name}, which may change between solves"
        return Obstacle(name, what, "read it once, before the solve, and let func read the result")
    if name in _FILES and name in module.__dict__:
        what = f"reads or writes a file ({home}.{name})"
        return Obstacle(name, what, "read it once, before the solve, and let func read the tensor")
    return None


def _told_by_arguments(function: Any) -> bool:
    """Whether a function has to be given something, as far as that is known."""
    if type(function) is not types.FunctionType:
        return False
    return function.__code__.co_argcount > len(function.__defaults__ or ())
