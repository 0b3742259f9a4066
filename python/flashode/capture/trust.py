"""What a field may call without our looking inside: code whose behaviour does not hang on watched state."""

from __future__ import annotations

import builtins
import enum
import types
from typing import Any

import numpy as np
import torch

_PACKAGES = frozenset(
    [
        "torch",
        "numpy",
        "math",
        "cmath",
        "operator",
        "functools",
        "itertools",
        "builtins",
        "typing",
        "typing_extensions",
        "collections",
        "abc",
        "enum",
        "dataclasses",
        "contextlib",
        "types",
        "einops",
        "opt_einsum",
        "__future__",
    ]
)
# Inside trusted packages, but with hidden state or compiled code of unknown origin.
_EXCLUDED = ("numpy.random", "torch.jit", "torch._dynamo", "torch.utils.data")
FORBIDDEN_BUILTINS = frozenset(
    ["globals", "locals", "eval", "exec", "compile", "open", "input", "__import__", "breakpoint"]
)

_OPAQUE_TYPES: tuple[type, ...] = (
    np.ufunc,
    torch._ops.OpOverload,
    torch._ops.OpOverloadPacket,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)
# Immutable: equality of type and value is all there is to know.
SIMPLE_TYPES: tuple[type, ...] = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    type(Ellipsis),
    type(NotImplemented),
    range,
    slice,
    torch.dtype,
    torch.device,
    torch.Size,
    torch.layout,
    torch.memory_format,
    np.generic,
    np.dtype,
    enum.Enum,
)


def trusted_name(module: str | None) -> bool:
    """Whether code of the module of this name is trusted."""
    if module is None or module.startswith(_EXCLUDED):
        return False
    return module.partition(".")[0] in _PACKAGES


def trusted_class(cls: type) -> bool:
    """Whether a class was written in trusted code."""
    return trusted_name(cls.__module__)


def trusted_function(function: types.FunctionType) -> bool:
    """Whether a function was written in trusted code."""
    # Its ``__module__`` may be a decorator's copy of another function's.
    return trusted_name(function.__globals__.get("__name__"))


def opaque(value: Any) -> bool:
    """Whether a value is a trusted thing that is known by its identity alone."""
    if isinstance(value, types.BuiltinFunctionType):
        home = value.__self__
        if home is None or isinstance(home, types.ModuleType):
            # torch's own builtins carry no module name.
            name = value.__module__ or getattr(home, "__name__", None)
            return trusted_name(name) and getattr(builtins, value.__name__, None) not in _FORBIDDEN
        return isinstance(home, type) and trusted_class(home)
    if isinstance(value, types.ModuleType):
        return trusted_name(value.__name__)
    if isinstance(value, type):
        return trusted_class(value)
    return isinstance(value, _OPAQUE_TYPES)


_FORBIDDEN = frozenset(getattr(builtins, name) for name in FORBIDDEN_BUILTINS)
