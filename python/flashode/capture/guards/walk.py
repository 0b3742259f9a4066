"""The state of a walk from a function, and what every step of it does."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from flashode.capture.guards.bytecode import CATCHES, Executed, Reader
from flashode.capture.guards.guard_code import GuardCode
from flashode.capture.guards.relevance import (
    CALLED,
    DESCRIPTIONS,
    GRAD_MODE_QUERIES,
    ITERATION,
    LOOKS_INTO,
    REFLECTION,
    TOOLS,
    Obstacle,
)
from flashode.capture.guards.trust import installed, library_of, module_of, own
from flashode.capture.guards.watched import Container, Watched, described, names_of
from flashode.capture.refusal import PLAIN, Refusal
from flashode.capture.refusal import described as error_in_words
from flashode.declined import MAX_REASONS, Reason

# Adds the checks for one value: the walk, what leads to it, the value, what it is called, how deep it lies.
Visit = Callable[["Walk", str, Any, str, int], None]

# Values looked at after the first that cannot be watched: a foreign library may lie behind it.
MAX_FURTHER = 256
# Values looked at before a function is called for the first time.
MAX_REACHED = 8192
# Stands for the number of an object's attributes.
ATTRIBUTES = "attributes"
# Characters of the longest name that is written out.
_LONGEST = 80
# What is inside of those kinds that hold functions. What a cached property has cached is among the attributes
# of the object.
_PARTS: dict[type, tuple[str, ...]] = {
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    property: ("fget", "fset"),
    functools.cached_property: ("func", "attrname"),
}


class Enough(Exception):
    """The reasons found so far have to do."""


@dataclass(frozen=True)
class Scope:
    """What a walk looks at.

    Attributes:
        executed: The code that has run: no other is looked into. None for all code.
        beside: See ``watch``.
        modules: Where code is looked into before it has run, whatever else cannot be watched, beside the
            user's own; None where each obstacle counts.
    """

    executed: Executed | None = None
    beside: bool = False
    modules: frozenset[str] | None = None

    def enters(self, function: types.FunctionType) -> bool:
        """Whether a function of the user's is looked into."""
        if self.executed is not None:
            return function.__code__ in self.executed
        if self.modules is None:
            return True
        home = module_of(function.__globals__)
        return home in self.modules or not (installed(home) or own(home))


class Walk:
    """One walk from a function.

    It looks at attributes that code names, and of trusted classes also at those that are ``implied``.

    Attributes:
        everything: whether attributes may be reached without being named.
        every_submodule: whether submodules and parameters may be.
        reasons: what cannot be watched, and what the walk calls it.
        bases: trusted classes, with the variables of their attributes.
        spaces: trusted classes, and the dictionaries of trusted modules, by their variables; with a name.
        lenient: whether what cannot be watched is passed by.
        followed: trusted functions that were looked into.
        met: objects met, by id: their variable, and the object itself so that no other gets its id.
    """

    def __init__(
        self, visit: Visit, scope: Scope, reader: Reader, names: frozenset[str], implied: frozenset[str]
    ) -> None:
        """Starts with nothing met; ``visit`` adds the checks for one value of any kind."""
        self._visit = visit
        self._scope = scope
        self.reader = reader
        self.watched = Watched(GuardCode(), reader)
        self.code = self.watched.code
        self.names = names
        self.implied = implied
        self.beside = scope.beside
        self.lenient = scope.modules is not None
        self.everything = not names.isdisjoint(REFLECTION)
        self.every_submodule = self.everything or not names.isdisjoint(ITERATION)
        self.reasons: dict[Reason, str] = {}
        self._inside: dict[Reason, str] = {}
        self._further = 0
        self.met: dict[int, tuple[str, Any]] = {}
        self.constructed: set[int] = set()
        self.bases: dict[type, str] = {}
        self.spaces: dict[str, tuple[Any, str]] = {}
        self.known: set[tuple[Any, str | None]] = set()
        self.followed: set[types.FunctionType] = set()

    def enters(self, function: types.FunctionType) -> bool:
        """Whether a function of the user's is looked into."""
        return self._scope.enters(function)

    def first(self, thing: Any, name: str | None = None) -> bool:
        """Whether this is the first time that code takes something trusted, or what it has under a name."""
        if (thing, name) in self.known:
            return False
        self.known.add((thing, name))
        return True

    @contextmanager
    def counted(self, variable: str) -> Iterator[None]:
        """Checks added meanwhile fail for more than what is looked at."""
        counts = variable, ATTRIBUTES
        self.watched.counts.add(counts)
        with self.code.owned_by(counts):
            yield

    def value(self, expression: str, value: Any, label: str, depth: int = 0) -> None:
        """Adds the checks for a value that lies in so many containers, or notes why there are none."""
        if self.reasons or self.lenient:
            self._further += 1
            if self._further > (MAX_REACHED if self.lenient else MAX_FURTHER):
                raise Enough
        known = len(self.reasons)
        try:
            self._visit(self, expression, value, label, depth)
        except Refusal as refusal:
            module = described(value, label) if issubclass(type(value), nn.Module) else ""
            for reason in refusal.within(None, module):
                self.note(reason, label)
        except Enough:
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
            self.note(obstacle.of("it"), label)

    def concerning(self, names: Set[str]) -> Set[str]:
        """Of names those that may stand in the way."""
        return names - GRAD_MODE_QUERIES if self.beside else names

    def note(self, reason: Reason, name: str) -> None:
        """Remembers what cannot be watched, to say all of it; the checks are of no use any more.

        The line that is shown is one with the name, by which the code or the walk calls it.
        """
        if self.lenient:
            self.watched.unwatchable.update(names_of(name)[:1])
            return
        self.reasons.setdefault(reason, name)
        if len(self.reasons) >= MAX_REASONS:
            raise Enough

    def note_taking(self, value: Any) -> None:
        """Notes that the code has at hand what may look into any module, or any of torch's."""
        home = getattr(value, "__module__", None)
        if isinstance(value, types.FunctionType) and isinstance(home, str) and home.startswith(TOOLS):
            of_torch = value is torch.func.functional_call
            self.watched.reached.add(LOOKS_INTO if of_torch else "modules")

    def seen(self, expression: str, value: Any) -> str | None:
        """The variable for a value met for the first time; checks identity for one met before."""
        known = self.met.get(id(value))
        if known is not None:
            self.code.same(expression, known[0])
            self.watched.shared.add(id(value))
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
        """Adds the checks for the attributes in an object's dictionary but those ``skipped``.

        Those that are looked for at every call matter, and those ``wanted``; None for all.
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
        """Adds the checks for an object's own dictionary; returns its variable.

        Args:
            ordered: whether the keys are checked in their order; if not, their number is; None for neither.
            by_name: whether only code that names an attribute reads it.
        """
        variable = self.code.variable(expression)
        if (ordered or self.everything or CATCHES in self.names) and dictionary:
            self.code.keys(variable, dictionary)
        elif ordered is not None:
            with self.counted(variable):
                self.code.length(variable, len(dictionary))
        container = Container(label, dictionary, self.code.owner, variable, of_object=by_name)
        self.watched.containers.append(container)
        return variable

    def descriptions(self, variable: str, value: Any, label: str) -> None:
        """Adds the checks for what code asks a function or a class about itself."""
        for name in sorted(self.names.intersection(DESCRIPTIONS)):
            with self.code.owned_by((variable, name)):
                self.value(f"{variable}.{name}", getattr(value, name), f"{label}.{name}")

    def descriptor(self, expression: str, attribute: Any, label: str) -> None:
        """Adds the checks for what a class holds, which is bound when it is taken from an object."""
        kind = type(attribute)
        parts = _PARTS.get(kind)
        if parts is None:
            self.value(expression, attribute, label)
            return
        self.code.identical(f"type({expression})", kind)
        for part in parts:
            self.value(f"{expression}.{part}", getattr(attribute, part), label)
