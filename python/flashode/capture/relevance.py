"""Which attributes the behaviour of a function can hang on."""

from __future__ import annotations

import abc
import types
import typing
from typing import Any

from torch import nn

from flashode.capture.trust import trusted_class

# Whether gradients are recorded differs between a trace and a solve, and between solves.
GRAD_MODE_QUERIES = frozenset(
    ["is_grad_enabled", "is_inference_mode_enabled", "requires_grad", "grad_fn", "is_leaf", "is_inference"]
)

# Naming one of these lets code reach attributes that it does not name.
REFLECTION = frozenset(["getattr", "vars", "dir", "hasattr", "__dict__", "__getattribute__", "attrgetter"])
ITERATION = frozenset(
    [
        "children",
        "modules",
        "parameters",
        "buffers",
        "named_children",
        "named_modules",
        "named_parameters",
        "named_buffers",
        "state_dict",
        "_modules",
        "_parameters",
        "_buffers",
        "apply",
        "get_submodule",
        "get_parameter",
        "get_buffer",
    ]
)
IGNORED_IN_MODULES = frozenset(
    [
        "_non_persistent_buffers_set",
        "_is_full_backward_hook",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
    ]
)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_HARMLESS_BASES = (object, nn.Module, abc.ABC, typing.Generic, typing.Protocol)
_UNUSED_SPECIAL_METHODS = frozenset(
    [
        "__init__",
        "__new__",
        "__del__",
        "__repr__",
        "__str__",
        "__init_subclass__",
        "__class_getitem__",
        "__reduce__",
        "__reduce_ex__",
        "__getstate__",
        "__setstate__",
        "__copy__",
        "__deepcopy__",
        "__dir__",
        "__sizeof__",
        "__format__",
        "__replace__",
    ]
)


def class_attribute_matters(name: str, attribute: Any, names: frozenset[str]) -> bool:
    """Whether code that uses ``names`` may reach this attribute of a class."""
    if name.startswith("__") and name.endswith("__"):
        return isinstance(attribute, types.FunctionType) and name not in _UNUSED_SPECIAL_METHODS
    return name in names or name == "forward"


def inherits_trusted(kind: type) -> bool:
    """Whether trusted code other than ``nn.Module`` itself may read the attributes of an instance."""
    return any(trusted_class(base) and base not in _HARMLESS_BASES for base in kind.__mro__)


def written_in_python(kind: type) -> bool:
    """Whether the state of an instance is all in its dictionary."""
    slots = any("__slots__" in base.__dict__ for base in kind.__mro__ if base not in _HARMLESS_BASES)
    makes: Any = kind.__new__
    return not slots and (makes is object.__new__ or isinstance(makes, types.FunctionType))
