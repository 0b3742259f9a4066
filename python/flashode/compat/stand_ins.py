"""Modules named as torchdiffeq's where that is not installed, found by the ordinary import."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from flashode.compat.faces import FACES
from flashode.methods import METHODS
from flashode.problem.adjoint import find_parameters

VERSION = "0.2.5"  # the release whose names and behaviour these are
_PACKAGES = ("torchdiffeq", "torchdiffeq._impl")
_MODULES = (*_PACKAGES, "torchdiffeq._impl.odeint", "torchdiffeq._impl.adjoint")


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
        """How to import a module of ours; None for every other."""
        if fullname not in _MODULES:
            return None
        return ModuleSpec(fullname, self, origin="flashode", is_package=fullname in _PACKAGES)

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
            module.__dict__.update(SOLVERS=dict(METHODS), odeint=FACES["odeint"])
            if name.endswith(".adjoint"):
                module.__dict__.update(odeint_adjoint=adjoint, find_parameters=find_parameters)
            else:
                module.__dict__.update((n, face) for n, face in FACES.items() if face is not adjoint)
