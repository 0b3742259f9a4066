"""What a field may call without our looking inside: code whose behaviour does not depend on watched state."""

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
        *("torch", "numpy", "math", "cmath", "operator", "functools", "itertools", "builtins", "typing"),
        *("typing_extensions", "collections", "abc", "enum", "dataclasses", "reprlib", "contextlib"),
        *("types", "einops", "opt_einsum", "__future__"),
    ]
)
# Inside trusted packages, but with hidden state or compiled code of unknown origin.
# Where no code of a field is, but for those of our own that make fields.
_SOLVERS = frozenset(["flashode", "torchdiffeq"])
_FIELDS = (
    *("flashode.transforms", "flashode.paths", "flashode.capture.events", "flashode.problem.event"),
    *("flashode.bench", "flashode.experiments"),
)
_EXCLUDED = ("numpy.random", "torch.jit", "torch._dynamo", "torch.utils.data")
FORBIDDEN_BUILTINS = frozenset(
    ["globals", "locals", "eval", "exec", "compile", "open", "input", "print", "__import__", "breakpoint"]
)
_FORBIDDEN = frozenset(getattr(builtins, name) for name in FORBIDDEN_BUILTINS)


_STANDARD = sysconfig.get_path("stdlib") + os.sep
_FILES = (
    _STANDARD,
    *(os.path.dirname(str(package.__file__)) + os.sep for package in (torch, np)),
    "<frozen ",
)
_INSTALLED = re.compile(r"[\\/](site|dist)-packages[\\/]")


class _Fields(NamedTuple):
    field: int


@dataclasses.dataclass
class _Made:
    field: list[Any] = dataclasses.field(default_factory=list)


_OPAQUE_TYPES: tuple[type, ...] = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
    # A method of a class that is written in C++.
    type(torch._C._DisableFuncTorch.__dict__["__enter__"]),
    # What a named tuple reads its fields by.
    type(_Fields.__dict__["field"]),
    # The marker that a dataclass has for the default of a field with a factory.
    *(type(default) for default in _Made.__init__.__defaults__ or ()),
)
_OPERATORS: tuple[type, ...] = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)
_NAMESPACE: type = torch._ops._OpNamespace
# Others may be implemented in Python, by ``torch.library``.
_NATIVE_OPERATORS = frozenset(["aten", "prim", "prims"])
_FUNCTIONS = (types.FunctionType, property, staticmethod, classmethod)
_OF_EVERY_CLASS = frozenset(
    ["__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__"]
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
    """Whether a value that trusted code holds may be the user's own, or lead to something that is."""
    kind = type(value)
    if kind in (staticmethod, classmethod):
        return homemade(value.__func__)
    if kind is property:
        return any(homemade(part) for part in (value.fget, value.fset) if part is not None)
    if kind is types.FunctionType:
        return not _genuine(value) or _wraps_homemade(value)
    if kind is types.BuiltinFunctionType:
        # A method of an object is bound to what may change; it is of no module.
        bound = not (value.__self__ is None or isinstance(value.__self__, (types.ModuleType, type)))
        return bound and not trusted_name(value.__module__)
    return not (simple(value) or opaque(value))


def _wraps_homemade(function: types.FunctionType) -> bool:
    """Whether a trusted function is a wrapper around one of the user's."""
    wrapped = getattr(function, "__wrapped__", None)
    return type(wrapped) is types.FunctionType and homemade(wrapped)


def library_of(value: Any) -> str | None:
    """The package that a function, a class or an object comes from; None where the user may have written it.

    A module of ``torch.nn``'s kind is named as such, whoever wrote its class.
    """
    kind = value if issubclass(type(value), type) else type(value)
    if issubclass(kind, torch.nn.Module):
        return None
    home = value.__module__ if kind is types.FunctionType else kind.__module__
    return home.partition(".")[0] if installed(home) else None


def installed(module: str) -> bool:
    """Whether a module is of a library, and not the user's."""
    file = getattr(sys.modules.get(module), "__file__", None) or ""
    return bool(_INSTALLED.search(file)) or file.startswith(_STANDARD)


def own(module: str | None) -> bool:
    """Whether a module is one of ours, or of torchdiffeq's; fields that are written there are the user's."""
    if module is None or module.startswith(_FIELDS):
        return False
    return module.partition(".")[0] in _SOLVERS


def forbidden(value: Any) -> bool:
    """Whether a value is a builtin function with effects of its own."""
    return type(value) is types.BuiltinFunctionType and value in _FORBIDDEN


def simple(value: Any) -> bool:
    """Whether equality of type and value is all there is to know of a value."""
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return simple(value._value_) and value.__dict__.keys() <= _ENUM_STATE and _plain_enum(kind)
    if kind is slice:
        return simple(value.start) and simple(value.stop) and simple(value.step)
    if issubclass(kind, np.void):
        # Its fields can be assigned.
        return False
    return issubclass(kind, _SIMPLE_TYPES) and trusted_class(kind)


def _plain_enum(kind: type) -> bool:
    """Whether an enum has no behaviour of its own."""
    own = [base.__dict__ for base in kind.__mro__ if not trusted_class(base)]
    attributes = [attribute for space in own for attribute in space.values()]
    functions = [attribute for attribute in attributes if isinstance(attribute, types.FunctionType)]
    described = any(isinstance(attribute, (property, classmethod)) for attribute in attributes)
    return not described and all(map(trusted_function, functions))


def trusted_package(module: str) -> bool:
    """Whether a module is in one of the trusted packages, whatever it is there."""
    return module.partition(".")[0] in _PACKAGES


def module_of(space: dict[str, Any]) -> str:
    """The name of the module whose globals these are; empty where they only say that they are."""
    name = space.get("__name__")
    return name if type(name) is str and _space(name) is space else ""


def home_of(frame: types.FrameType) -> str:
    """The name of the module that a frame is of; empty where it only says that it is."""
    # Some modules have put an object in their place, and some have two names.
    theirs = frame.f_code.co_filename.startswith(_FILES)
    return str(frame.f_globals.get("__name__", "")) if theirs else module_of(frame.f_globals)


def trusted_name(module: str | None) -> bool:
    """Whether code of the module of this name is trusted."""
    if module is None or module.startswith(_EXCLUDED):
        return False
    return trusted_package(module)


def trusted_class(cls: type) -> bool:
    """Whether a class was written in trusted code; what it says of itself has to be true."""
    if not trusted_name(cls.__module__):
        return False
    if not cls.__flags__ & _MADE_AT_RUN_TIME or _held_at(cls.__module__, cls.__qualname__) is cls:
        return True
    # One that trusted code has made, such as that of a parametrized layer, and not a user by its means.
    held = [value for name, value in cls.__dict__.items() if name not in _OF_EVERY_CLASS]
    return bool(held) and all(isinstance(value, _FUNCTIONS) and not homemade(value) for value in held)


def trusted_function(function: types.FunctionType) -> bool:
    """Whether a function was written in trusted code."""
    return _genuine(function) and trusted_name(function.__globals__["__name__"])


def _genuine(function: types.FunctionType) -> bool:
    """Whether a function is of one of the trusted packages, whose compilers patch the rest of them."""
    # Its ``__module__`` may be a decorator's copy of another function's.
    return trusted_package(module_of(function.__globals__))


def trusted_module(module: types.ModuleType) -> bool:
    """Whether a module is the trusted one of its name."""
    if not trusted_name(module.__name__):
        return False
    if sys.modules.get(module.__name__) is module or issubclass(type(module), _NAMESPACE):
        return True
    # Those that are written in C are not always listed.
    home, _, name = module.__name__.rpartition(".")
    return _held_at(home, name) is module


def _space(module: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(sys.modules.get(module), "__dict__", {})
    return found


def _held_at(module: str, path: str) -> Any:
    """What a module holds under a dotted name; asks no code."""
    space: Any = _space(module)
    value = None
    for part in path.split("."):
        value = space.get(part)
        space = getattr(value, "__dict__", {})
    return value


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
        return trusted_module(value)
    if issubclass(kind, type):
        return trusted_class(value)
    if kind is np.ufunc:
        # Those that Python functions were made into take and give objects alone.
        return any(set(signature) - set("O->") for signature in value.types)
    if issubclass(kind, _OPERATORS):
        name = value._schema.name if kind is torch._ops.OpOverload else value._qualified_op_name
        return name.partition("::")[0] in _NATIVE_OPERATORS
    return issubclass(kind, _OPAQUE_TYPES)
