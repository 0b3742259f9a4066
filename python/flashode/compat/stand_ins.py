"""Modules named as torchdiffeq's where that is not installed, for the ordinary import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from flashode.compat.faces import FACES
from flashode.methods import METHODS
from flashode.problem.gradient import find_parameters

VERSION = "0.2.5"  # the release whose names and behaviour these are
_MODULES = ("torchdiffeq", "torchdiffeq._impl", "torchdiffeq._impl.odeint", "torchdiffeq._impl.adjoint")


class _Solvers(dict[str, Any]):
    """The table of solvers, for programs to read."""

    def __setitem__(self, name: str, solver: object) -> None:
        raise NotImplementedError(_missing(f"solvers of its own, such as {name!r}"))


_SOLVERS = _Solvers(METHODS)


class StandIns(MetaPathFinder, Loader):
    """Finds and fills the modules, until it is undone."""

    def __init__(self) -> None:
        # First, for a mere folder named torchdiffeq in the working directory would be found before the last.
        sys.meta_path.insert(0, self)

    def undo(self) -> None:
        """Forgets the modules; who holds one keeps it."""
        sys.meta_path.remove(self)
        for name in _MODULES:
            module = sys.modules.get(name)
            if module is not None and module.__loader__ is self:
                del sys.modules[name]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of ours; None for other packages' modules.

        Raises:
            ModuleNotFoundError: It is one of torchdiffeq's that nothing stands in for.
        """
        if fullname in _MODULES:
            # All of them packages: then what `from … import` misses in one is looked for here as well.
            return ModuleSpec(fullname, self, origin="flashode", is_package=True)
        if fullname.startswith("torchdiffeq."):
            # Without a name, for an error that has it is passed over in `from … import`.
            raise ModuleNotFoundError(_missing(fullname))
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fills the module with what torchdiffeq has in it that programs reach for."""
        name = module.__name__
        if name == "torchdiffeq":
            importlib.import_module("torchdiffeq._impl")
            module.__dict__.update(FACES, __version__=VERSION)
        elif name == "torchdiffeq._impl":
            importlib.import_module("torchdiffeq._impl.adjoint")
            importlib.import_module("torchdiffeq._impl.odeint")
            # After the import, which leaves the module of that name here: the function shadows it.
            module.__dict__.update(FACES)
        else:
            adjoint = FACES["odeint_adjoint"]
            module.__dict__.update(SOLVERS=_SOLVERS, odeint=FACES["odeint"])
            if name.endswith(".adjoint"):
                module.__dict__.update(odeint_adjoint=adjoint, find_parameters=find_parameters)
            else:
                module.__dict__.update((n, face) for n, face in FACES.items() if face is not adjoint)


def _missing(what: str) -> str:
    return (
        f"flashode stands in for torchdiffeq, which is not installed, and does not have {what}; a program "
        "that needs it runs with both: pip install torchdiffeq"
    )
