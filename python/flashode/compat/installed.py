"""flashode's functions in the place of an installed torchdiffeq's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

from flashode.compat import forwarding
from flashode.compat.faces import FACES
from flashode.methods import METHODS


def is_installed() -> bool:
    """Whether there is a torchdiffeq to import; a folder of that name without an ``__init__`` is none."""
    if "torchdiffeq" in sys.modules:
        return True
    spec = importlib.util.find_spec("torchdiffeq")
    return spec is not None and spec.origin is not None


class Exchange:
    """Has the functions of the installed torchdiffeq run flashode's, until it is undone.

    Every global of a loaded module that is one of torchdiffeq's functions becomes flashode's. What holds the
    functions in another way (a closure, a partial, a default, an attribute of a class or an object) cannot
    be found; so the functions themselves are given code that calls flashode's.
    """

    def __init__(self) -> None:
        theirs = importlib.import_module("torchdiffeq")
        originals = {
            id(original): (original, ours)
            for name, ours in FACES.items()
            if isinstance(original := getattr(theirs, name, None), FunctionType) and original is not ours
        }
        self._codes: list[tuple[FunctionType, CodeType]] = []
        for original, ours in originals.values():
            forward: FunctionType = getattr(forwarding, ours.__name__)
            if not original.__code__.co_freevars:
                self._codes.append((original, original.__code__))
                original.__code__ = forward.__code__
        loaded: list[object] = list(sys.modules.values())  # what programs put there need not be a module
        self._globals = [
            (module, name, *originals[id(value)])
            for module in loaded
            if isinstance(module, ModuleType)
            for name, value in list(vars(module).items())
            if id(value) in originals
        ]
        for module, name, _, ours in self._globals:
            vars(module)[name] = ours
        # The table itself is filled up rather than exchanged, for their own classes must be found in it.
        solvers: dict[str, Any] = getattr(sys.modules.get("torchdiffeq._impl.odeint"), "SOLVERS", {})
        self._solvers = solvers
        self._added = {name: method for name, method in METHODS.items() if name not in solvers}
        solvers.update(self._added)

    def undo(self) -> None:
        """Puts back what was there; what somebody else has exchanged since stays."""
        for name, method in self._added.items():
            if self._solvers.get(name) is method:
                del self._solvers[name]
        for module, name, original, ours in self._globals:
            if vars(module).get(name) is ours:
                vars(module)[name] = original
        for original, code in self._codes:
            original.__code__ = code
