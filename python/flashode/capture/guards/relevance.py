"""Which attributes the behaviour of a function can depend on."""

from __future__ import annotations

import abc
import re
import struct
import types
import typing
from collections.abc import Set
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _python_dispatch, dlpack

from flashode.capture.guards.trust import trusted_class
from flashode.capture.refusal import with_article
from flashode.declined import Reason

# Whether gradients are recorded differs between a trace and a solve, and between solves.
GRAD_MODE_QUERIES = frozenset(
    ["is_grad_enabled", "is_inference_mode_enabled", "grad_fn", "is_leaf", "is_inference"]
)

# Naming one of these lets code reach attributes that it does not name.
REFLECTION = frozenset(
    [
        *("getattr", "vars", "dir", "hasattr", "__dict__", "__getattribute__", "__getattr__"),
        *("__getstate__", "__reduce__", "__reduce_ex__", "format", "format_map", "attrgetter"),
        *("methodcaller", "astuple", "asdict", "fields", "replace"),
    ]
)
# Naming one of these changes the state of the random number generator, or may.
SEEDING = frozenset(["manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state", "fork_rng"])
# They lead to what a function or a class does not name.
_INTERNALS = frozenset(
    [
        *("__globals__", "__builtins__", "__subclasses__", "__loader__", "__spec__", "f_globals"),
        *("f_locals", "f_back"),
    ]
)
# What functions and classes tell of themselves.
DESCRIPTIONS = ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__")
# What these do to a tensor, or to gradients, torch shows to no mode.
_UNSEEN = frozenset(["swap_tensors", "_swap_tensor_impl", "saved_tensors_hooks", "register_multi_grad_hook"])
# What stands between Python and torch's operations, and hands out memory past them.
_MACHINERY = frozenset(["_python_dispatch"]) | frozenset(
    name
    for module in (torch._C, torch.overrides, _python_dispatch, dlpack)
    for name in dir(module)
    if re.search(
        "torch_(function|dispatch)|DisableTorch|(function|dispatch|current|any|infra)_mode|^_(pop|push)_mode"
        "|^_dispatch_|to_dlpack",
        name,
    )
)
# What stands in the way, what it does and what to write instead.
_OBSTACLES = (
    (
        GRAD_MODE_QUERIES,
        "asks for {}, which differs from solve to solve",
        "compute the same in every grad mode",
    ),
    (_UNSEEN, "names {}, whose effects are invisible to tracing", "leave it out of func"),
    (_MACHINERY, "names {}, which is not the same while tracing as in a solve", "leave it out of func"),
    (_INTERNALS, "reads {}, which cannot be watched", "name what it is to read"),
    (
        SEEDING,
        "names {}, which may change the random number generator",
        "seed and draw once, before the solve, and let func read the tensor",
    ),
)
ITERATION = frozenset(
    [
        *("children", "modules", "parameters", "buffers", "named_children", "named_modules"),
        *("named_parameters", "named_buffers", "state_dict", "_modules", "_parameters", "_buffers"),
        *("apply", "get_submodule", "get_parameter", "get_buffer"),
    ]
)
IGNORED_IN_MODULES = frozenset(
    [
        *("_non_persistent_buffers_set", "_is_full_backward_hook", "_forward_hooks_with_kwargs"),
        *("_forward_hooks_always_called", "_forward_pre_hooks_with_kwargs", "_state_dict_hooks"),
        *("_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
    ]
)
# What every call of a module looks for among its attributes.
CALLED = ("_compiled_call_impl", "forward")
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_POINTER = struct.calcsize("P")
_HARMLESS_BASES = (object, nn.Module, abc.ABC, typing.Generic, typing.Protocol)
# Stands among the names for code of torch's that reads attributes of torch's modules.
LOOKS_INTO = "looks into"
# Where torch keeps functions of modules.
TOOLS = ("torch.nn.utils", "torch.nn.init", "torch._functorch", "torch.func", "torch.ao")
CONSTRUCTORS = frozenset(["__init__", "__new__", "__post_init__"])
# Code that has a class at hand without naming it.
CLASS_QUERIES = frozenset(["type", "__class__", "cls"])
FORMATTING = frozenset(["format", "format_map", "str", "repr", "ascii", "join"])
_FORMATTERS = frozenset(["__str__", "__repr__", "__format__", "extra_repr", "_get_name"])
_CALLS = (staticmethod, classmethod, property)
_UNUSED_SPECIAL_METHODS = frozenset(
    [
        *("__del__", "__init_subclass__", "__class_getitem__", "__reduce__", "__reduce_ex__"),
        *("__getstate__", "__setstate__", "__copy__", "__deepcopy__", "__dir__", "__sizeof__"),
        "__replace__",
    ]
)


def class_attribute_matters(name: str, attribute: Any, names: frozenset[str], everything: bool) -> bool:
    """Whether code that uses ``names``, or may reach everything, may reach this attribute of a class."""
    if name in _FORMATTERS:
        return not names.isdisjoint(FORMATTING) and callable(attribute)
    if name in CONSTRUCTORS:
        return name in names
    if name.startswith("__") and name.endswith("__"):
        # One that is None hides those of the bases.
        runs = (
            (attribute is None and name != "__doc__") or callable(attribute) or isinstance(attribute, _CALLS)
        )
        return name in names or name == "__match_args__" or (runs and name not in _UNUSED_SPECIAL_METHODS)
    return (everything and name != "_abc_impl") or name in names or name == "forward"


class Obstacle(NamedTuple):
    """What stands in the way: what code calls it, a predicate, and what to write instead."""

    name: str
    what: str
    remedy: str

    def of(self, subject: str) -> Reason:
        """What is to be said of something that it stands in the way of."""
        return Reason(f"{subject} {self.what}", self.remedy)


def name_obstacle(names: Set[str]) -> Obstacle | None:
    """What stands in the way among names of functions and attributes."""
    for obstacles, what, remedy in _OBSTACLES:
        named = names & obstacles
        if named:
            return Obstacle(min(named), what.format(min(named)), remedy)
    return None


def tensor_obstacle(tensor: Tensor) -> Obstacle | None:
    """What keeps a tensor from being read afresh at each solve; it has no name."""
    if type(tensor) not in (Tensor, nn.Parameter, nn.Buffer):
        what = f"is {with_article(type(tensor).__name__)}, a tensor subclass"
        return Obstacle("", what, "keep it as a plain tensor (.as_subclass(torch.Tensor))")
    if tensor.is_nested:
        return Obstacle("", "is a nested tensor", "keep its parts in a list of tensors")
    if tensor.layout is not torch.strided:
        what = f"is a tensor of layout {tensor.layout}"
        return Obstacle("", what, "keep it dense (.to_dense()), or use index_select and index_add")
    if tensor.is_inference():
        what = "was made in inference mode, so that its gradients cannot be compared"
        return Obstacle("", what, "make it outside of torch.inference_mode(), or clone() it there")
    if tensor._backward_hooks:
        what = "has gradient hooks, which checking the capture would call"
        return Obstacle("", what, "remove them (handle.remove()) and change the gradient after backward()")
    return None


def intercepts(kind: type) -> bool:
    """Whether a class of the user's runs code of its own for each attribute that is read."""
    own = [base.__dict__ for base in kind.__mro__ if not trusted_class(base)]
    hidden = any(isinstance(space.get("__dict__"), (property, types.FunctionType)) for space in own)
    return hidden or any(isinstance(space.get("__getattribute__"), types.FunctionType) for space in own)


def inherits_trusted(kind: type) -> bool:
    """Whether trusted code other than ``nn.Module`` itself may read the attributes of an instance."""
    return any(trusted_class(base) and base not in _HARMLESS_BASES for base in kind.__mro__)


def written_in_python(kind: type) -> bool:
    """Whether the state of an instance is all in its dictionary and its slots.

    Types that are written in C have more in their memory than that: the text that a match was found in, a
    connection.
    """
    makes: Any = kind.__new__
    places = len(slots_of(kind)) + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0)
    whole = kind.__itemsize__ == 0 and kind.__basicsize__ == object.__basicsize__ + places * _POINTER
    held = kind.__dictoffset__ != 0 or bool(slots_of(kind))
    return whole and held and (makes is object.__new__ or isinstance(makes, types.FunctionType))


def slots_of(kind: type) -> tuple[str, ...]:
    """The attributes of an instance that are kept in slots."""
    own = [base.__dict__ for base in kind.__mro__ if base not in _HARMLESS_BASES]
    return tuple(
        name
        for space in own
        for name, held in space.items()
        if isinstance(held, types.MemberDescriptorType) and not name.startswith("__")
    )
