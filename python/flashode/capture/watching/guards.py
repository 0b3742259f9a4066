"""Whether a capture still describes its function.

A function's behaviour hangs on things around it: attributes, closures, globals, defaults, classes. ``watch``
walks them once from the function, and turns what it saw into straight-line checks that start from a function
again and hold on to nothing of the user's: a lambda made afresh over other tensors of the same kind passes
the checks of its predecessor. Checking so costs a few microseconds, a walk hundreds.
"""

from __future__ import annotations

import abc
import enum
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from flashode.capture.refusal import PLAIN, Refusal, with_article
from flashode.capture.refusal import described as error_in_words
from flashode.capture.watching import classes, containers, functions, library, namespaces, objects
from flashode.capture.watching.bytecode import CATCHES, IDENTITY, names_in
from flashode.capture.watching.compiled import original
from flashode.capture.watching.counting import idle_counters
from flashode.capture.watching.guard_code import GuardCode
from flashode.capture.watching.relevance import (
    CALLED,
    GRAD_MODE_QUERIES,
    HOOKS,
    ITERATION,
    REFLECTION,
    Obstacle,
    intercepts,
    looks_into,
    name_obstacle,
    tensor_obstacle,
)
from flashode.capture.watching.settings import setting_obstacle
from flashode.capture.watching.trust import forbidden, library_of, opaque, simple
from flashode.capture.watching.watched import Container, Watched, described
from flashode.declined import MAX_REASONS, Reason

# Values looked at after the first that cannot be watched: a foreign library may lie behind it.
MAX_FURTHER = 256


def watch(func: Callable[..., Any], *, beside: bool = False) -> Watched:
    """Walks everything that the behaviour of ``func`` hangs on.

    Args:
        func: a function.
        beside: whether it is called beside a captured function, and not to be captured: containers of plain
            data that are too deep or large are passed by, and what it reads of torch's state does not matter.
            The checks are then incomplete, but all code is found.

    Raises:
        Refusal: some things cannot be watched; names them.
    """
    names: frozenset[str] = frozenset()
    implied: frozenset[str] = frozenset()
    while True:
        walk = Walk(names, implied, beside)
        complete = walk.complete(func)
        settled = walk.found.names <= names and walk.found.all_implied <= implied
        if walk.reasons and (settled or not complete):
            raise Refusal(*(reason.within(walk.found.line(name)) for reason, name in walk.reasons.items()))
        if settled:
            walk.code.distinct = not names.isdisjoint(IDENTITY)
            found = walk.found
            found.idle = idle_counters(found)
            for place in [place for place in found.numbers if place[0] in found.idle]:
                del found.numbers[place]
            return found
        # Code found on the way named more attributes; look at those too.
        names |= walk.found.names
        implied |= walk.found.all_implied


# Stands for the number of an object's attributes.
ATTRIBUTES = "attributes"
# Asks what classes an object is of, which can be registered; a pattern that names a class asks as well.
_INSTANCE_QUERIES = frozenset(
    ["isinstance", "issubclass", "__instancecheck__", "__subclasscheck__", "getattr"]
)
# Characters of the longest name that is written out.
_LONGEST = 80


class _Enough(Exception):
    """The reasons found so far have to do."""


class Walk:
    """One walk from a function, for code that uses certain names.

    Attributes:
        found: what was found so far.
        code: the checks so far.
        names: the names.
        implied: names of attributes of trusted classes that the code may come to without naming them.
        beside: whether the function is not to be captured; see ``watch``.
        everything: whether attributes may be reached without being named.
        every_submodule: whether submodules and parameters may be.
        reasons: what cannot be watched, and what the walk calls it.
        bases: trusted classes, with the variables of their attributes.
        spaces: trusted classes, and the dictionaries of trusted modules, by their variables; with a name.
        followed: trusted functions that were looked into.
        met: objects already met, by their id: their variable, and the object itself so that no other gets
            its id.
    """

    def __init__(self, names: frozenset[str], implied: frozenset[str], beside: bool = False) -> None:
        self.found = Watched(GuardCode())
        self.code = self.found.code
        self.names = names
        self.implied = implied
        self.beside = beside
        self.everything = not names.isdisjoint(REFLECTION)
        self.every_submodule = self.everything or not names.isdisjoint(ITERATION)
        self.reasons: dict[Reason, str] = {}
        self._inside: dict[Reason, str] = {}
        self._further = 0
        self.met: dict[int, tuple[str, Any]] = {}
        self.made: set[int] = set()
        self.bases: dict[type, str] = {}
        self.spaces: dict[str, tuple[Any, str]] = {}
        self.known: set[tuple[Any, str | None]] = set()
        self.followed: set[types.FunctionType] = set()

    def complete(self, func: Callable[..., Any]) -> bool:
        """Walks from a function; returns whether it came to the end."""
        try:
            self.value("root", func, "the function")
            namespaces.tensors(self)
            namespaces.additions(self)
            self._registrations()
            namespaces.assigned(self)
            self._names_in_strings()
        except _Enough:
            return False
        return True

    def _names_in_strings(self) -> None:
        """Notes what code may ask for by strings, and must not."""
        obstacle = name_obstacle(self.concerning(self.found.names_in_strings))
        if obstacle is not None:
            self.note(Reason(f"it {obstacle.what}", obstacle.remedy), obstacle.name)

    def _registrations(self) -> None:
        """Adds the check that no class was registered as a subclass, where code asks for that."""
        if not self.names.isdisjoint(_INSTANCE_QUERIES):
            token = self.code.constant(abc.get_cache_token)
            with self.counted(token):
                # It tells of every class that is registered, wherever that is.
                self.code.simple(f"{token}()", abc.get_cache_token())

    @contextmanager
    def counted(self, variable: str) -> Iterator[None]:
        """Checks added meanwhile fail for more than what is looked at."""
        counts = variable, ATTRIBUTES
        self.found.counts.add(counts)
        with self.code.owned_by(counts):
            yield

    def value(self, expression: str, value: Any, label: str, depth: int = 0) -> None:
        """Adds the checks for one value, or notes why there are none."""
        if self.reasons:
            self._further += 1
            if self._further > MAX_FURTHER:
                raise _Enough
        known = len(self.reasons)
        try:
            self._value(expression, value, label, depth)
        except Refusal as refusal:
            module = described(value, label) if issubclass(type(value), nn.Module) else ""
            for reason in refusal.within(None, module):
                self.note(reason, label)
        except _Enough:
            raise
        except Exception as error:
            # Whatever an object does that is looked at.
            shown = label if len(label) <= _LONGEST else f"{label[:_LONGEST]}…"
            self.note(Reason(f"looking at {shown} raised {error_in_words(error)}", PLAIN), label)
        finally:
            if len(self.reasons) > known:
                self._summarise(known, value, label)

    def _summarise(self, known: int, value: Any, label: str) -> None:
        """Makes one reason of those after the first ``known``, if they lie in a library's own code."""
        reasons = list(self.reasons.items())
        first, name = reasons[known]
        library = None if name == label else library_of(value)
        if library is not None:
            inside = self._inside.get(first, first.what)
            summary = Reason(f"{label} leads into {library}, where {inside}", first.remedy)
            self._inside[summary] = inside
            self.reasons = dict([*reasons[:known], (summary, label)])

    def note_obstacle(self, obstacle: Obstacle, label: str) -> None:
        """Remembers what is read beside arguments; see ``note``."""
        if not self.beside:
            self.note(Reason(f"it {obstacle.what}", obstacle.remedy), label)

    def concerning(self, names: Set[str]) -> Set[str]:
        """Of names those that may stand in the way."""
        return names - GRAD_MODE_QUERIES if self.beside else names

    def note(self, reason: Reason, name: str) -> None:
        """Remembers what cannot be watched, to say all of it; the checks are of no use any more.

        Args:
            reason: what the user reads.
            name: what the code calls it, or the walk, for the line that is shown.
        """
        self.reasons.setdefault(reason, name)
        if len(self.reasons) >= MAX_REASONS:
            raise _Enough

    def _value(self, expression: str, value: Any, label: str, depth: int) -> None:
        # Not by isinstance, which asks the object: a dead proxy raises, others claim to be what they are not.
        kind = type(value)
        if intercepts(kind):
            # The checks would run its code.
            name = with_article(kind.__qualname__)
            raise Refusal(f"{label} is {name}, which has code of its own for all attributes", remedy=PLAIN)
        if simple(value):
            self._simple(expression, value)
            if kind in (int, float) and self.code.owner is not None:
                self.found.numbers[self.code.owner, label] = value
            if kind is str:
                self.found.strings.update(names_in(value))
        elif forbidden(value):
            namespaces.note_call(self, value.__name__, label)
        elif opaque(value):
            self.trusted(expression, value, label)
        elif (made_from := original(value)) is not None:
            self._compiled(expression, value, label, *made_from)
        elif issubclass(kind, Tensor):
            self._tensor(expression, value, label)
        elif issubclass(kind, nn.Module):
            objects.module(self, expression, value, label)
        elif kind is types.FunctionType:
            functions.function(self, expression, value, label)
        elif kind is types.MethodType:
            functions.method(self, expression, value, label)
        elif issubclass(kind, partial):
            functions.partial_function(self, expression, value, label)
        elif containers.known(kind):
            containers.container(self, expression, value, label, depth)
        elif kind is np.ndarray:
            containers.array(self, expression, value, label)
        elif issubclass(kind, type):
            classes.class_(self, expression, value, label, made=True)
        else:
            objects.instance(self, expression, value, label)

    def _simple(self, expression: str, value: Any) -> None:
        if not issubclass(type(value), enum.Enum):
            self.code.simple(expression, value)
            return
        # Not by itself, so that an enum made in a function can go.
        self.code.identical(f"type({expression})", weakref.ref(type(value)), weak=True)
        self.code.simple(f"{expression}._value_", value._value_)

    def _compiled(self, expression: str, value: Any, label: str, made_from: Any, attribute: str) -> None:
        """What torch compiled does what it was made from does; its solves run that."""
        variable = self.seen(expression, value)
        if variable is None:
            return
        self.found.compiles = True
        self.code.identical(f"type({variable})", type(value))
        if isinstance(value, nn.Module):
            objects.note_hooks(self, value, label)
            self.code.empty(f"{variable}.__dict__", HOOKS)
        self.value(f"{variable}.{attribute}", made_from, label)

    def trusted(self, expression: str, value: Any, label: str) -> None:
        """Adds the check for something that is known by its identity alone."""
        self.code.identical(expression, value)
        # A function may go by another name than the one that tells what it does.
        name = getattr(value, "__name__", "")
        obstacle = name_obstacle(self.concerning({name}))
        if obstacle is not None:
            raise Refusal(f"{label} {obstacle.what}", remedy=obstacle.remedy)
        self.found.reached.add(name)
        if issubclass(type(value), type):
            namespaces.trusted_bases(self, value)
        elif isinstance(value, types.ModuleType):
            namespaces.module(self, value)
        else:
            library.followed(self, value)
            home = sys.modules.get(getattr(value, "__module__", None) or "")
            obstacle = None if home is None else setting_obstacle(home, name)
            if obstacle is not None:
                self.note_obstacle(obstacle, label)
        self.note_taking(value)

    def note_taking(self, value: Any) -> None:
        """Notes that the code has at hand what may look into any module."""
        name = looks_into(value)
        if name is not None:
            self.found.reached.add(name)

    def seen(self, expression: str, value: Any) -> str | None:
        """The variable for a value met for the first time; checks identity for one met before."""
        known = self.met.get(id(value))
        if known is not None:
            self.code.same(expression, known[0])
            self.found.shared.add(id(value))
            return None
        variable = self.code.object(expression)
        self.met[id(value)] = variable, value
        return variable

    def attributes(
        self,
        own: str,
        owned: dict[str, Any],
        label: str,
        skipped: Iterable[str],
        wanted: frozenset[str] | None,
    ) -> None:
        """Adds the checks for an object's attributes.

        Args:
            own: the variable of the object's dictionary.
            owned: the dictionary.
            label: what the object is called.
            skipped: attributes that do not matter.
            wanted: attributes that do, beside those that every call looks for; None for all.
        """
        for key, attribute in list(owned.items()):
            needed = wanted is None or key in wanted or key in CALLED
            if needed and key not in skipped:
                with self.code.owned_by((own, key)):
                    self.value(f"{own}[{key!r}]", attribute, f"{label}.{key}")

    def dictionary(
        self,
        expression: str,
        dictionary: dict[str, Any],
        label: str,
        ordered: bool | None = False,
        by_name: bool = True,
    ) -> str:
        """Adds the checks for an object's own dictionary.

        Args:
            expression: leads to it.
            dictionary: the dictionary.
            label: what the object is called.
            ordered: whether the keys are checked in their order; if not, their number is; None for neither.
            by_name: whether only code that names an attribute reads it.

        Returns:
            its variable.
        """
        variable = self.code.variable(expression)
        if (ordered or self.everything or CATCHES in self.names) and dictionary:
            self.code.keys(variable, dictionary)
        elif ordered is not None:
            with self.counted(variable):
                self.code.length(variable, len(dictionary))
        container = Container(label, dictionary, self.code.owner, variable, of_object=by_name)
        self.found.containers.append(container)
        return variable

    def _tensor(self, expression: str, tensor: Tensor, label: str) -> None:
        obstacle = tensor_obstacle(tensor)
        if obstacle is not None:
            raise Refusal(f"{label} {obstacle.what}", remedy=obstacle.remedy)
        variable = self.seen(expression, tensor)
        if variable is None:
            return
        self.code.tensor(variable, tensor)
        own = f"{variable}.__dict__"
        self.found.containers.append(Container(label, tensor.__dict__, self.code.owner, own, of_object=True))
        wanted = None if self.everything else self.names
        self.attributes(own, tensor.__dict__, label, (), wanted)
        if self.everything or CATCHES in self.names:
            self.code.length(own, len(tensor.__dict__))
        self.found.slots[id(tensor)] = len(self.found.tensors)
        self.found.tensors.append(tensor)
        self.found.labels.append(label)
