"""flashode's functions in the place of an installed torchdiffeq's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

from flashode.compat.faces import FACES
from flashode.methods import METHODS
from flashode.odeint.face import send_elsewhere
from flashode.problem import DEFAULT_METHOD

_TABLE = "torchdiffeq._impl.odeint"  # the module that has it


def is_installed() -> bool:
    """Whether there is a torchdiffeq to import; a folder of that name without an ``__init__`` is none."""
    if "torchdiffeq" in sys.modules:
        return True
    spec = importlib.util.find_spec("torchdiffeq")
    return spec is not None and spec.origin is not None


def _forward(*args: Any, _ours: Callable[..., Any], **kwargs: Any) -> Any:
    """The code of torchdiffeq's functions under the patch; ``_ours`` defaults to flashode's function."""
    return _ours(*args, **kwargs)


class Exchange:
    """Makes the functions of the installed torchdiffeq call flashode's, until it is undone.

    Every global of a loaded module that is one of torchdiffeq's functions becomes flashode's. What holds the
    functions in another way (a closure, a partial, a default, an attribute of a class or an object) cannot
    be found; so the functions themselves get code that calls flashode's.

    Calls for a solver that a program has put into torchdiffeq's table go to torchdiffeq's functions.
    """

    def __init__(self) -> None:
        theirs = importlib.import_module("torchdiffeq")
        originals = {
            id(original): (original, ours)
            for name, ours in FACES.items()
            if isinstance(original := getattr(theirs, name, None), FunctionType) and original is not ours
        }
        self._codes: list[tuple[FunctionType, CodeType, dict[str, Any] | None]] = []
        for original, ours in originals.values():
            code, defaults = original.__code__, original.__kwdefaults__
            if not code.co_freevars:
                self._codes.append((original, code, defaults))
                original.__kwdefaults__ = {**(defaults or {}), "_ours": ours}
                original.__code__ = _forward.__code__
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
        # Our methods are added to the table, which must still have their own classes.
        solvers: dict[str, Any] = getattr(sys.modules.get(_TABLE), "SOLVERS", {})
        self._solvers = solvers
        self._originals = _Originals(solvers)
        self._added = {name: method for name, method in METHODS.items() if name not in solvers}
        solvers.update(self._added)
        send_elsewhere(self._elsewhere)

    def _elsewhere(self, face: str, arguments: Mapping[str, Any]) -> Callable[..., Any] | None:
        """torchdiffeq's function of that name, if a method of the call is a solver that only it has."""
        named = {name: arguments.get(name) for name in ("method", "adjoint_method")}
        used = {"method": DEFAULT_METHOD, **{name: m for name, m in named.items() if m is not None}}
        foreign = [name for name, method in used.items() if self._is_foreign(method)]
        if not foreign:
            return None
        for name, method in used.items():
            if method in self._added and name not in foreign:
                raise ValueError(
                    f"{name} must be a method that torchdiffeq has, because {foreign[0]} is "
                    f"{used[foreign[0]]!r}, a solver registered with it; got {method!r}, which only flashode "
                    "has"
                )
        return self._originals.functions.get(face)

    def _is_foreign(self, method: object) -> bool:
        """Whether a program has put a solver of its own into the table under that name."""
        if not isinstance(method, str) or method not in self._solvers:
            return False
        entry = self._solvers[method]
        known = METHODS.get(method), self._originals.solvers.get(method)
        return method not in METHODS or not any(entry is each for each in known)

    def undo(self) -> None:
        """Puts back what was there; names that other code has assigned since stay."""
        send_elsewhere(None)
        for name, method in self._added.items():
            if self._solvers.get(name) is method:
                del self._solvers[name]
        for module, name, original, ours in self._globals:
            if vars(module).get(name) is ours:
                vars(module)[name] = original
        for original, code, defaults in self._codes:
            original.__code__ = code
            original.__kwdefaults__ = defaults


class _Originals:
    """torchdiffeq's own functions, from second copies of its modules, which nothing has changed.

    They share the table of solvers with the loaded modules.

    Attributes:
        functions: By the name that both have for them.
        solvers: The table as torchdiffeq defines it.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        odeint, adjoint = _second(_TABLE), _second("torchdiffeq._impl.adjoint")
        self.solvers: dict[str, Any] = dict(getattr(odeint, "SOLVERS", table))
        vars(odeint)["SOLVERS"] = table
        vars(adjoint).update(SOLVERS=table, odeint=getattr(odeint, "odeint", None))
        modules = {name: adjoint if "adjoint" in name else odeint for name in FACES}
        self.functions = {
            name: getattr(module, name) for name, module in modules.items() if hasattr(module, name)
        }


def _second(name: str) -> ModuleType:
    """The module of that name, executed once more beside the loaded one; empty where there is none."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or spec.loader is None:
        return ModuleType(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
