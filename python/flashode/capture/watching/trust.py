"""What a field may call without our looking inside: code whose behaviour does not hang on watched state."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import os
import re
import sys
import sysconfig
import types
from collections.abc import Sequence
from typing import Any, NamedTuple

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
        "reprlib",
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
    ["globals", "locals", "eval", "exec", "compile", "open", "input", "print", "__import__", "breakpoint"]
)
_FORBIDDEN = frozenset(getattr(builtins, name) for name in FORBIDDEN_BUILTINS)


_STANDARD = sysconfig.get_path("stdlib") + os.sep
_INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")


class _Fields(NamedTuple):
    field: int


@dataclasses.dataclass
class _Made:
    field: list[Any] = dataclasses.field(default_factory=list)


_OPAQUE_TYPES: tuple[type, ...] = (
    np.ufunc,
    torch._ops.OpOverload,
    torch._ops.OpOverloadPacket,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.MemberDescriptorType,
    # What a named tuple reads its fields by.
    type(_Fields.__dict__["field"]),
    # What stands in the place of a default that is made afresh.
    *(type(default) for default in _Made.__init__.__defaults__ or ()),
)
# Immutable: equality of type and value is all there is to know.
_SIMPLE_TYPES: tuple[type, ...] = (
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
)
# Of a type's flags: its object was allocated, as a class statement does.
_MADE_AT_RUN_TIME = 1 << 9
_ENUM_STATE = frozenset(["_value_", "_name_", "_sort_order_", "__objclass__"])


def innermost(module: types.ModuleType, chain: Sequence[str]) -> tuple[types.ModuleType, int]:
    """The last module that a chain of attributes leads to, and how many of them lead there."""
    for depth, attribute in enumerate(chain):
        following = getattr(module, attribute, None)
        if not isinstance(following, types.ModuleType):
            return module, depth
        module = following
    return module, len(chain)


def homemade(value: Any) -> bool:
    """Whether a value is the user's own, wherever it was found."""
    if type(value) is types.FunctionType:
        return not trusted_function(value)
    return not trusted_class(value if issubclass(type(value), type) else type(value))


def library_of(value: Any) -> str | None:
    """The package that a function, a class or an object comes from; None where the user may have written it.

    A module of ``torch.nn``'s kind is named as such, whoever wrote its class.
    """
    kind = value if issubclass(type(value), type) else type(value)
    if issubclass(kind, torch.nn.Module):
        return None
    home = value.__module__ if kind is types.FunctionType else kind.__module__
    file = getattr(sys.modules.get(home), "__file__", None) or ""
    installed = _INSTALLED.search(file) or file.startswith(_STANDARD)
    return home.partition(".")[0] if installed else None


def forbidden(value: Any) -> bool:
    """Whether a value is a builtin function with effects of its own."""
    return type(value) is types.BuiltinFunctionType and value in _FORBIDDEN


def simple(value: Any) -> bool:
    """Whether equality of type and value is all there is to know of a value."""
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return simple(value._value_) and value.__dict__.keys() <= _ENUM_STATE and _plain_enum(kind)
    return issubclass(kind, _SIMPLE_TYPES) and trusted_class(kind)


def _plain_enum(kind: type) -> bool:
    """Whether an enum has no behaviour of its own."""
    own = [base.__dict__ for base in kind.__mro__ if not trusted_class(base)]
    attributes = [attribute for space in own for attribute in space.values()]
    functions = [attribute for attribute in attributes if isinstance(attribute, types.FunctionType)]
    described = any(isinstance(attribute, (property, classmethod)) for attribute in attributes)
    return not described and all(map(trusted_function, functions))


def trusted_name(module: str | None) -> bool:
    """Whether code of the module of this name is trusted."""
    if module is None or module.startswith(_EXCLUDED):
        return False
    return module.partition(".")[0] in _PACKAGES


def trusted_class(cls: type) -> bool:
    """Whether a class was written in trusted code."""
    # One made where there is no ``__name__`` says that it is of builtins; those are never made at run time.
    made = cls.__module__ == "builtins" and bool(cls.__flags__ & _MADE_AT_RUN_TIME)
    return trusted_name(cls.__module__) and not made


def trusted_function(function: types.FunctionType) -> bool:
    """Whether a function was written in trusted code."""
    # Its ``__module__`` may be a decorator's copy of another function's.
    return trusted_name(function.__globals__.get("__name__"))


def opaque(value: Any) -> bool:
    """Whether a value is a trusted thing that is known by its identity alone."""
    kind = type(value)
    if kind is types.BuiltinFunctionType:
        home = value.__self__
        if home is None or isinstance(home, types.ModuleType):
            # torch's own builtins carry no module name.
            name = value.__module__ or getattr(home, "__name__", None)
            return trusted_name(name) and not forbidden(getattr(builtins, value.__name__, None))
        return isinstance(home, type) and trusted_class(home)
    if issubclass(kind, types.ModuleType):
        return trusted_name(value.__name__)
    if issubclass(kind, type):
        return trusted_class(value)
    return issubclass(kind, _OPAQUE_TYPES)
