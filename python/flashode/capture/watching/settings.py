"""What trusted functions read besides their arguments: settings that may change between solves, and files."""

from __future__ import annotations

import re
import types

from flashode.capture.watching.relevance import Obstacle

_LIBRARIES = ("torch", "numpy")
_SETTINGS = re.compile(
    r"(?!set_)(_?(is|are|get|has|can|current|initial|memory)_\w+|\w+_(enabled|count)|[gs]et(err|errcall|bufsize)|seed)"
)
# Told by their arguments alone, or looked at otherwise.
_HARMLESS = frozenset(
    [
        *("is_complex", "is_conj", "is_floating_point", "is_neg", "is_nonzero", "is_same_size", "is_signed"),
        *(
            "is_tensor",
            "is_storage",
            "is_tensor_like",
            "is_tensor_method_or_property",
            "get_device",
            "can_cast",
        ),
        *("get_default_dtype", "is_grad_enabled", "is_inference_mode_enabled", "is_available"),
        # Nothing is captured meanwhile.
        *("is_compiling", "is_dynamo_compiling", "is_exporting", "is_scripting", "is_tracing"),
        *("is_busday", "memory_format", "get_total_norm", "_is_integer", "_is_all_true", "_is_any_true"),
    ]
)
# They hold settings as attributes.
_HOLDERS = tuple(
    f"torch.{name}" for name in ("backends", "cuda", "mps", "xpu", "cpu", "accelerator", "distributed", "_C")
)
# Of these, what holds nothing but functions of tensors.
_OF_TENSORS = tuple(f"torch._C._{name}" for name in ("nn", "linalg", "special", "fft", "VariableFunctions"))
_FILES = frozenset(
    [
        *("load", "from_file", "fromfile", "loadtxt", "genfromtxt", "memmap", "open_memmap", "DataSource"),
        *("save", "savez", "savez_compressed", "savetxt", "load_library", "hub"),
    ]
)


def setting_obstacle(module: types.ModuleType, name: str) -> Obstacle | None:
    """What stands in the way of code that takes a thing of this name from a trusted module.

    Args:
        module: the module.
        name: the name.
    """
    home = module.__name__
    if home.partition(".")[0] not in _LIBRARIES or home.startswith(_OF_TENSORS):
        return None
    if name in _HARMLESS:
        return None
    held = getattr(module.__dict__.get(name), "__name__", "").startswith(_HOLDERS)
    asks = _SETTINGS.fullmatch(name) and callable(module.__dict__.get(name))
    holds = home.startswith(_HOLDERS) and (name in module.__dict__ or name in vars(type(module)))
    if holds or held or asks:
        what = f"reads the setting {home}.{name}, which may change between solves"
        return Obstacle(name, what, "read it once, before the solve, and let func read the result")
    if name in _FILES and name in module.__dict__:
        what = f"reads or writes a file ({home}.{name})"
        return Obstacle(name, what, "read it once, before the solve, and let func read the tensor")
    return None
