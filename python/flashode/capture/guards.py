"""Whether a capture still describes its function.

A function's behaviour hangs on things around it: attributes, closures, globals, defaults, classes. ``watch``
walks them once from the function, and turns what it saw into straight-line checks that start from a function
again and hold on to nothing of the user's: a lambda made afresh over other tensors of the same kind passes
the checks of its predecessor. Checking so costs a few microseconds, a walk hundreds.
"""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from flashode.capture.bytecode import CATCHES, CodeNames, read
from flashode.capture.guard_code import GuardCode
from flashode.capture.refusal import Refusal
from flashode.capture.relevance import (
    CLASS_QUERIES,
    CONSTRUCTORS,
    HOOKS,
    IGNORED_IN_MODULES,
    ITERATION,
    REFLECTION,
    class_attribute_matters,
    code_obstacle,
    inherits_trusted,
    name_obstacle,
    tensor_obstacle,
    written_in_python,
)
from flashode.capture.trust import (
    FORBIDDEN_BUILTINS,
    homemade,
    innermost,
    opaque,
    simple,
    trusted_class,
    trusted_function,
)
from flashode.capture.watched import Container, Watched

MAX_DEPTH = 4
MAX_ITEMS = 256


def watch(func: Callable[..., Any]) -> Watched:
    """Walks everything that the behaviour of ``func`` hangs on.

    Raises:
        Refusal: something cannot be watched; names it.
    """
    names: frozenset[str] = frozenset()
    while True:
        walk = _Walk(names)
        walk.value("root", func, "the function")
        if walk.found.names <= names:
            return walk.found
        # Code found on the way named more attributes; look at those too.
        names |= walk.found.names


class _Walk:
    def __init__(self, names: frozenset[str]) -> None:
        self.found = Watched(GuardCode())
        self._code = self.found.code
        self._names = names
        self._everything = not names.isdisjoint(REFLECTION)
        self._every_submodule = self._everything or not names.isdisjoint(ITERATION)
        # Objects already met: their variable, and the object itself so that no other gets its id.
        self._met: dict[int, tuple[str, Any]] = {}
        self._made: set[int] = set()
        self._known: set[tuple[types.ModuleType, str]] = set()

    def value(self, expression: str, value: Any, label: str, depth: int = 0) -> None:
        """Adds the checks for one value."""
        if simple(value):
            self._code.simple(expression, value)
            if type(value) in (int, float) and self._code.owner is not None:
                self.found.numbers[self._code.owner, label] = value
        elif opaque(value):
            self._trusted(expression, value, label)
        elif isinstance(value, Tensor):
            self._tensor(expression, value, label)
        elif isinstance(value, nn.Module):
            self._module(expression, value, label)
        elif isinstance(value, types.FunctionType):
            self._function(expression, value, label)
        elif isinstance(value, types.MethodType):
            self._method(expression, value, label)
        elif isinstance(value, partial):
            self._partial(expression, value, label)
        elif type(value) in (list, tuple, dict, set, frozenset):
            self._container(expression, value, label, depth)
        elif isinstance(value, type):
            self._class(expression, value, label, made=True)
        else:
            self._instance(expression, value, label)

    def _trusted(self, expression: str, value: Any, label: str) -> None:
        self._code.identical(expression, value)
        # A function may go by another name than the one that tells what it does.
        name = getattr(value, "__name__", "")
        obstacle = name_obstacle({name})
        if obstacle is not None:
            raise Refusal(f"{label} {obstacle}")
        self.found.reached.add(name)

    def _seen(self, expression: str, value: Any) -> str | None:
        """The variable for a value met for the first time; checks identity for one met before."""
        known = self._met.get(id(value))
        if known is not None:
            self._code.same(expression, known[0])
            return None
        variable = self._code.variable(expression)
        self._met[id(value)] = variable, value
        return variable

    def _tensor(self, expression: str, tensor: Tensor, label: str) -> None:
        obstacle = tensor_obstacle(tensor)
        if obstacle is not None:
            raise Refusal(f"{label} {obstacle}")
        variable = self._seen(expression, tensor)
        if variable is None:
            return
        self._code.tensor(variable, tensor)
        if tensor.__dict__:
            self._attributes(f"{variable}.__dict__", tensor, label, (), everything=self._everything)
        if self._everything or CATCHES in self._names:
            self._code.length(f"{variable}.__dict__", len(tensor.__dict__))
        self.found.slots[id(tensor)] = len(self.found.tensors)
        self.found.tensors.append(tensor)

    def _module(self, expression: str, module: nn.Module, label: str) -> None:
        kind = type(module)
        if kind.__module__.startswith(("torch.jit", "torch._dynamo")):
            raise Refusal(f"{label} is a {kind.__name__}, compiled by other means")
        if any(base.__module__ == "builtins" and base is not object for base in kind.__mro__):
            raise Refusal(f"{label} is a {kind.__qualname__}, which is a container as well")
        variable = self._seen(expression, module)
        if variable is None:
            return
        self._type(variable, kind, label)
        hooked = [hooks for hooks in HOOKS if module.__dict__[hooks]]
        if hooked:
            raise Refusal(f"{label} has hooks ({hooked[0]})")
        own = self._dictionary(f"{variable}.__dict__", module.__dict__, label)
        self._code.empty(own, HOOKS)
        some = not self._every_submodule and not trusted_class(kind) and not inherits_trusted(kind)
        for name in ("_parameters", "_buffers", "_modules"):
            children: dict[str, Any] = module.__dict__[name]
            inner = self._dictionary(f"{own}[{name!r}]", children, label, ordered=True)
            for key, child in children.items():
                if not some or key in self._names:
                    self.value(f"{inner}[{key!r}]", child, f"{label}.{key}")
        skipped = {"_parameters", "_buffers", "_modules", *HOOKS, *IGNORED_IN_MODULES}
        self._attributes(own, module, label, skipped, everything=not some)

    def _attributes(self, own: str, owner: Any, label: str, skipped: Iterable[str], everything: bool) -> None:
        for key, attribute in list(owner.__dict__.items()):
            needed = everything or key in self._names or key in ("training", "_compiled_call_impl", "forward")
            if key not in skipped and needed:
                with self._code.owned_by((own, key)):
                    self.value(f"{own}[{key!r}]", attribute, f"{label}.{key}")

    def _instance(self, expression: str, value: Any, label: str) -> None:
        kind = type(value)
        if not hasattr(value, "__dict__") or inherits_trusted(kind) or not written_in_python(kind):
            raise Refusal(
                f"{label} is a {kind.__module__}.{kind.__qualname__}, whose state cannot be watched"
            )
        variable = self._seen(expression, value)
        if variable is None:
            return
        self._type(variable, kind, label)
        own = self._dictionary(f"{variable}.__dict__", value.__dict__, label)
        self._attributes(own, value, label, (), everything=self._everything)

    def _type(self, variable: str, kind: type, label: str) -> None:
        if all(map(trusted_class, kind.__mro__)):
            self._code.identical(f"type({variable})", kind)
            if issubclass(kind, nn.Module):
                self._code.identical(f"type({variable}).forward", kind.forward)
        else:
            self._class(f"type({variable})", kind, label)

    def _class(self, expression: str, kind: type, label: str, made: bool = False) -> None:
        """``made``: whether the code has the class itself at hand, to make instances of it."""
        known = self._met.get(id(kind))
        if known is not None:
            self._code.same(expression, known[0])
            self._constructors(known[0], kind, made)
            return
        if not trusted_class(type(kind)):
            raise Refusal(f"{label} has the metaclass {type(kind).__qualname__}, which cannot be watched")
        # Weakly, so that a class made in a function can go.
        self._code.identical(expression, weakref.ref(kind), weak=True)
        variable = self._code.variable(expression)
        self._met[id(kind)] = variable, kind
        self.found.containers.append(Container(kind.__qualname__, kind, self._code.owner))
        # Trusted code reads attributes that the user's code does not name.
        everything = self._everything or inherits_trusted(kind)
        for position, base in enumerate(kind.__mro__):
            if trusted_class(base):
                continue
            own = self._code.variable(f"{variable}.__mro__[{position}].__dict__")
            self._code.length(own, len(base.__dict__))
            for name, attribute in list(base.__dict__.items()):
                if class_attribute_matters(name, attribute, self._names, everything):
                    self._descriptor(f"{own}[{name!r}]", attribute, f"{base.__qualname__}.{name}")
        self._constructors(variable, kind, made or not self._names.isdisjoint(CLASS_QUERIES))

    def _constructors(self, variable: str, kind: type, made: bool) -> None:
        if not made or id(kind) in self._made:
            return
        self._made.add(id(kind))
        for position, base in enumerate(kind.__mro__):
            for name in CONSTRUCTORS & base.__dict__.keys():
                if not trusted_class(base):
                    inside = f"{variable}.__mro__[{position}].__dict__[{name!r}]"
                    self._descriptor(inside, base.__dict__[name], f"{base.__qualname__}.{name}")

    def _descriptor(self, expression: str, attribute: Any, label: str) -> None:
        if isinstance(attribute, (staticmethod, classmethod)):
            self.value(f"{expression}.__func__", attribute.__func__, label)
        elif isinstance(attribute, property):
            for part in ("fget", "fset"):
                self.value(f"{expression}.{part}", getattr(attribute, part), label)
        else:
            self.value(expression, attribute, label)

    def _function(self, expression: str, function: types.FunctionType, label: str) -> None:
        if trusted_function(function):
            if function.__closure__ is None:
                self._trusted(expression, function, label)
                return
            self._trusted_wrapper(expression, function, label)
            return
        variable = self._seen(expression, function)
        if variable is None:
            return
        self._code.simple(f"{variable}.__code__", function.__code__)
        names = self._note_code(function.__code__, label)
        for attribute in ("__defaults__", "__kwdefaults__"):
            self.value(f"{variable}.{attribute}", getattr(function, attribute), f"a default of {label}")
        cells = function.__closure__ or ()
        for position, (name, cell) in enumerate(zip(function.__code__.co_freevars, cells, strict=True)):
            inside, inner = f"{variable}.__closure__[{position}]", f"{name!r}, closed over by {label},"
            self._cell(inside, cell, inner, is_super=name == "__class__")
        if function.__dict__:
            own = self._dictionary(f"{variable}.__dict__", function.__dict__, label)
            skipped = () if self._everything or "__wrapped__" in self._names else ("__wrapped__",)
            self._attributes(own, function, label, skipped, everything=self._everything)
        self._globals(variable, function, names)

    def _trusted_wrapper(self, expression: str, function: types.FunctionType, label: str) -> None:
        variable = self._seen(expression, function)
        if variable is None:
            return
        self._code.simple(f"{variable}.__code__", function.__code__)
        for position, cell in enumerate(function.__closure__ or ()):
            inside = f"{variable}.__closure__[{position}]"
            owner = getattr(cell.cell_contents, "__self__", None)
            if isinstance(owner, torch.utils._contextlib._DecoratorContextManager):
                # The grad mode or the like that decorates a user's function.
                self._code.identical(f"type({inside}.cell_contents.__self__)", type(owner))
            else:
                self._cell(inside, cell, label)

    def _note_code(self, code: types.CodeType, label: str) -> CodeNames:
        names = read(code)
        self.found.codes[code] = names
        obstacle = code_obstacle(names)
        if obstacle is not None:
            raise Refusal(f"{label} {obstacle}")
        return names

    def _cell(self, expression: str, cell: types.CellType, label: str, is_super: bool = False) -> None:
        try:
            content = cell.cell_contents
        except ValueError:
            raise Refusal(f"{label} has no value yet") from None
        owner = (expression, "cell_contents")
        self.found.containers.append(Container(label, cell, owner))
        with self._code.owned_by(owner):
            if is_super and isinstance(content, type):
                # What super() needs; that makes no instances.
                self._class(f"{expression}.cell_contents", content, label)
            else:
                self.value(f"{expression}.cell_contents", content, label)

    def _globals(self, variable: str, function: types.FunctionType, names: CodeNames) -> None:
        if not names.globals:
            return
        space = function.__globals__
        known = self._met.get(id(space))
        dictionary = known[0] if known else self._code.variable(f"{variable}.__globals__")
        self._met[id(space)] = dictionary, space
        if known:
            self._code.same(f"{variable}.__globals__", dictionary)
        done: set[str] = set()
        for name, chain in names.globals:
            if name in done and not isinstance(space.get(name), types.ModuleType):
                continue
            done.add(name)
            label = f"the global {name!r}"
            if name not in space:
                self._code.absent(dictionary, name)
                if name in FORBIDDEN_BUILTINS:
                    raise Refusal(f"it calls {name}()")
            elif isinstance(space[name], types.ModuleType):
                self._through_module(f"{dictionary}[{name!r}]", space[name], chain, label)
            else:
                with self._code.owned_by((dictionary, name)):
                    self.value(f"{dictionary}[{name!r}]", space[name], label)

    def _through_module(
        self, expression: str, module: types.ModuleType, chain: tuple[str, ...], label: str
    ) -> None:
        """A module is watched only in what is taken from it."""
        if opaque(module):
            inside, depth = innermost(module, chain)
            if not opaque(inside):
                raise Refusal(f"{label} leads to {inside.__name__}, which keeps hidden state")
            self._code.identical(expression, module)
            if depth < len(chain):
                self._taken(inside, chain[depth])
            return
        if not chain or not hasattr(module, chain[0]):
            raise Refusal(f"{label} is a module, used otherwise than through its attributes")
        taken = getattr(module, chain[0])
        inner, label = f"{expression}.__dict__[{chain[0]!r}]", f"{label}.{chain[0]}"
        if isinstance(taken, types.ModuleType):
            self._through_module(inner, taken, chain[1:], label)
        else:
            self.value(inner, taken, label)

    def _taken(self, module: types.ModuleType, name: str) -> None:
        """What is taken from a trusted module is watched as well: it may have been replaced."""
        if name not in module.__dict__ or (module, name) in self._known:
            return
        self._known.add((module, name))
        expression, value = f"{self._code.constant(module)}.{name}", module.__dict__[name]
        if homemade(value):
            self.value(expression, value, f"{module.__name__}.{name}")
        else:
            self._code.identical(expression, value)

    def _method(self, expression: str, method: types.MethodType, label: str) -> None:
        variable = self._code.variable(expression)
        self.value(f"{variable}.__self__", method.__self__, f"{label}.__self__")
        self.value(f"{variable}.__func__", method.__func__, label)

    def _partial(self, expression: str, function: partial[Any], label: str) -> None:
        variable = self._code.variable(expression)
        self._code.identical(f"type({variable})", partial)
        self.value(f"{variable}.func", function.func, label)
        self.value(f"{variable}.args", function.args, f"an argument of {label}")
        self.value(f"{variable}.keywords", function.keywords, f"an argument of {label}")

    def _container(self, expression: str, value: Any, label: str, depth: int) -> None:
        if depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
            raise Refusal(f"{label} is a deep or large container, which cannot be watched cheaply")
        variable = self._seen(expression, value)
        if variable is None:
            return
        self._code.identical(f"type({variable})", type(value))
        if isinstance(value, dict):
            self._code.simple(f"tuple({variable})", tuple(value))
        else:
            self._code.length(variable, len(value))
        if not isinstance(value, (tuple, frozenset)):
            self.found.containers.append(Container(label, value, self._code.owner))
        if isinstance(value, (set, frozenset)):
            if not all(map(simple, value)):
                raise Refusal(f"{label} is a set of things that cannot be watched")
            self._code.simple(variable, type(value)(value))
            return
        keys = value.keys() if isinstance(value, dict) else range(len(value))
        for key in keys:
            if type(key) not in (str, int, bool):
                raise Refusal(f"{label} has a key that cannot be watched")
            self.value(f"{variable}[{key!r}]", value[key], f"{label}[{key!r}]", depth + 1)

    def _dictionary(
        self, expression: str, dictionary: dict[str, Any], label: str, ordered: bool = False
    ) -> str:
        """The variable for an object's own dictionary; its size is checked, or its keys in their order."""
        variable = self._code.variable(expression)
        if ordered and dictionary:
            self._code.simple(f"tuple({variable})", tuple(dictionary))
        else:
            self._code.length(variable, len(dictionary))
        self.found.containers.append(Container(label, dictionary, self._code.owner, variable))
        return variable
