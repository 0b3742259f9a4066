"""What the behaviour of an object depends on: its attributes, and those of its class."""

from __future__ import annotations

import logging
import types
from collections.abc import Set
from typing import Any

from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from flashode.capture.guards import classes, recurrent
from flashode.capture.guards.bytecode import CATCHES, IDENTITY
from flashode.capture.guards.relevance import (
    CALLED,
    CLASS_QUERIES,
    CONSTRUCTORS,
    FORMATTING,
    HOOKS,
    IGNORED_IN_MODULES,
    ITERATION,
    LOOKS_INTO,
    REFLECTION,
    inherits_trusted,
    slots_of,
    written_in_python,
)
from flashode.capture.guards.trust import trusted_class, trusted_function
from flashode.capture.guards.trusted_modules import attributes_read, names_used
from flashode.capture.guards.walk import Walk
from flashode.capture.guards.watched import Container, described
from flashode.capture.refusal import PLAIN, Refusal, with_article
from flashode.declined import Reason

# They read nothing but what they contain, and no attributes of that.
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
# Names that stand for more than an attribute.
_NO_ATTRIBUTES = frozenset(
    [*REFLECTION, *ITERATION, *CLASS_QUERIES, *CONSTRUCTORS, *FORMATTING, *IDENTITY, CATCHES]
)
_CHILDREN = ("_parameters", "_buffers", "_modules")
# What to use in the place of modules of torch's whose state cannot be watched.
_STEPPING = {nn.RNNBase: "step an nn.LSTMCell, nn.GRUCell or nn.RNNCell"}
# Where hooks come from that have become parametrizations.
_NORMS = {"torch.nn.utils.spectral_norm": "spectral_norm", "torch.nn.utils.weight_norm": "weight_norm"}


def module(walk: Walk, expression: str, value: nn.Module, label: str) -> None:
    """Adds the checks for a module."""
    kind: Any = type(value)
    if kind.__module__.startswith(("torch.jit", "torch._dynamo")):
        remedy = "let func call the module that it was made from"
        raise Refusal("it calls what was compiled by other means", remedy=remedy)
    builtin = (base for base in kind.__mro__ if base.__module__ == "builtins" and trusted_class(base))
    if any(base is not object for base in builtin):
        remedy = "hold the container in an attribute"
        raise Refusal("it calls a module that is a container as well", remedy=remedy)
    if isinstance(value, LazyModuleMixin) and value.has_uninitialized_params():
        raise Refusal("parameters have no shape yet", remedy="call it once, before the solve")
    variable = walk.seen(expression, value)
    if variable is None:
        return
    classes.class_of(walk, variable, kind, label)
    note_hooks(walk, value, label)
    if value.__dict__["_modules"] and trusted_class(kind) and kind not in _CONTAINERS:
        # It may read attributes of its submodules.
        walk.watched.reached.update(names_used(kind) - _NO_ATTRIBUTES, {LOOKS_INTO})
    own = walk.dictionary(f"{variable}.__dict__", value.__dict__, label)
    for name in CALLED:
        if name not in value.__dict__:
            walk.code.absent(own, name)
    if trusted_class(kind) or inherits_trusted(kind):
        walk.watched.foreign.add(own)
    wanted = _attributes_wanted(walk, kind)
    looked_at = _CHILDREN if wanted is None else _searched(value, wanted)
    walk.code.empty(own, [*HOOKS, *(name for name in looked_at if not value.__dict__[name])])
    for name in _CHILDREN:
        children: dict[str, Any] = value.__dict__[name]
        place = f"{own}[{name!r}]"
        if not children or name not in looked_at:
            # A call that adds one must still be undone.
            walk.watched.containers.append(Container(label, children, walk.code.owner, place, of_object=True))
            continue
        # Code that iterates over parameters or buffers names the iteration. What else there is in the last
        # place searched matters to nobody.
        ordered: bool | None = name == "_modules" or walk.every_submodule
        if not ordered and wanted is not None and trusted_class(kind) and name == looked_at[-1]:
            ordered = None
        inner = walk.dictionary(place, children, label, ordered)
        for key, child in children.items():
            if wanted is None or key in wanted or (name == "_modules" and kind in _CONTAINERS):
                walk.value(f"{inner}[{key!r}]", child, f"{label}.{key}")
    skipped = {*_CHILDREN, *HOOKS, *IGNORED_IN_MODULES, *recurrent.unread(value)}
    known = list(walk.reasons)
    walk.attributes(own, value.__dict__, label, skipped, wanted)
    if trusted_class(kind) and "forward" not in value.__dict__ and len(walk.reasons) > len(known):
        # Its attributes are torch's own affair.
        walk.reasons = {reason: walk.reasons[reason] for reason in known}
        remedies = (remedy for base, remedy in _STEPPING.items() if issubclass(kind, base))
        raise Refusal("something that cannot be watched is kept", remedy=next(remedies, PLAIN))
    if wanted is not None:
        _not_shadowed(walk, own, value, {*skipped, *wanted})


def note_hooks(walk: Walk, value: nn.Module, label: str) -> None:
    """Notes that a module has hooks."""
    hooked = [hooks for hooks in HOOKS if value.__dict__[hooks]]
    if hooked:
        walk.note(_hooked(value, hooked[0], label), label)


def _hooked(value: nn.Module, hooks: str, label: str) -> Reason:
    """What is to be said of hooks; torch's own have their functions in its modules."""
    module = described(value, label)
    homes = {type(hook).__module__ for hook in value.__dict__[hooks].values()}
    for home, name in _NORMS.items():
        if home in homes:
            remedy = f"use torch.nn.utils.parametrizations.{name}"
            if name == "spectral_norm":
                remedy += ", and call eval() for the solve"
            return Reason(f"{name} computes the weight in hooks", remedy, module=module)
    what = hooks.strip("_").replace("_", " ")
    remedy = "remove them (handle.remove()), or do in forward what they do"
    return Reason(f"there are {what}", remedy, module=module)


def _attributes_wanted(walk: Walk, kind: Any) -> frozenset[str] | None:
    """The attributes of a module that matter; None for all."""
    if walk.every_submodule:
        return None
    if not trusted_class(kind) and not inherits_trusted(kind):
        return walk.names
    # A formatted module tells of attributes that nothing else reads, an exception of missing ones.
    widely = not walk.names.isdisjoint({*FORMATTING, CATCHES, LOOKS_INTO})
    if widely or not isinstance(kind.forward, types.FunctionType):
        return None
    named = (walk.names & set(dir(kind))) - {"forward"}
    if kind in _CONTAINERS:
        return walk.names if trusted_function(kind.forward) and named.isdisjoint(dir(nn.Module)) else None
    read = attributes_read(kind, kind.forward, named)
    return None if read is None else walk.names | read


def _searched(value: nn.Module, wanted: frozenset[str]) -> tuple[str, ...]:
    """Where the wanted attributes of a module are looked for: the later places only if not found before."""
    if not trusted_class(type(value)):
        return _CHILDREN
    needed = [position for position, name in enumerate(_CHILDREN) if wanted & value.__dict__[name].keys()]
    searched = _CHILDREN[: needed[-1] + 1] if needed else ()
    contains = type(value) in _CONTAINERS and "_modules" not in searched
    return (*searched, "_modules") if contains else searched


def instance(walk: Walk, expression: str, value: Any, label: str) -> None:
    """Adds the checks for an object of the user's, or a namespace."""
    kind = type(value)
    if isinstance(value, logging.Logger):
        raise Refusal(f"{label} is a logging.Logger", remedy="log after the solve")
    plain = kind is types.SimpleNamespace
    if not plain and (inherits_trusted(kind) or not written_in_python(kind)):
        name = with_article(f"{kind.__module__}.{kind.__qualname__}")
        raise Refusal(f"{label} is {name}, whose state cannot be watched", remedy=PLAIN)
    variable = walk.seen(expression, value)
    if variable is None:
        return
    classes.class_of(walk, variable, kind, label)
    if kind.__dictoffset__:
        own = walk.dictionary(f"{variable}.__dict__", value.__dict__, label, ordered=plain, by_name=not plain)
        wanted = None if walk.everything or plain else walk.names
        walk.attributes(own, value.__dict__, label, (), wanted)
        if wanted is not None:
            _not_shadowed(walk, own, value, wanted)
    names = slots_of(kind)
    if names:
        _slots(walk, variable, value, names, label)


def _not_shadowed(walk: Walk, own: str, value: Any, watched: Set[str]) -> None:
    """Adds checks that no attribute of the class hides behind one that takes an unwatched one's place."""
    owned, kind = value.__dict__, type(value)
    if trusted_class(kind) or owned.keys() <= watched:
        return
    computed = any("__getattr__" in base.__dict__ for base in kind.__mro__ if not trusted_class(base))
    children = [owned[place] for place in _CHILDREN] if issubclass(kind, nn.Module) else []
    for name in sorted(walk.names):
        inherited = computed or any(name in base.__dict__ for base in kind.__mro__)
        if name not in owned and (inherited or any(name in held for held in children)):
            walk.code.absent(own, name)


def _slots(walk: Walk, variable: str, value: Any, names: tuple[str, ...], label: str) -> None:
    walk.watched.containers.append(Container(label, value, walk.code.owner, variable))
    for name in names:
        if not walk.everything and name not in walk.names:
            continue
        try:
            attribute = object.__getattribute__(value, name)
        except AttributeError:
            raise Refusal(f"{label}.{name} has no value yet", remedy="assign it before the solve") from None
        with walk.code.owned_by((variable, name)):
            read = f"{walk.code.constant(object.__getattribute__)}({variable}, {name!r})"
            walk.value(read, attribute, f"{label}.{name}")
