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


class _Solvers(dict[str, Any]):
    """The table of solvers, for programs to read."""

    def __setitem__(self, name: str, solver: object) -> None:
        raise NotImplementedError(_missing(f"solvers of its own, such as {name!r}"))


_SOLVERS = _Solvers(METHODS)

# The modules, and what programs import from each.
_CONTENTS: dict[str, dict[str, Any]] = {
    "torchdiffeq": {**FACES, "__version__": VERSION},
    "torchdiffeq._impl": FACES,
    "torchdiffeq._impl.odeint": {
        "SOLVERS": _SOLVERS,
        **{name: face for name, face in FACES.items() if name != "odeint_adjoint"},
    },
    "torchdiffeq._impl.adjoint": {
        "SOLVERS": _SOLVERS,
        "find_parameters": find_parameters,
        **{name: FACES[name] for name in ("odeint", "odeint_adjoint")},
    },
}


class StandIns(MetaPathFinder, Loader):
    """Finds and fills the modules, until it is undone."""

    def __init__(self) -> None:
        # In front: a mere folder named torchdiffeq in the working directory comes before a finder at the end.
        sys.meta_path.insert(0, self)

    def undo(self) -> None:
        """Forgets the modules; who holds one keeps it."""
        sys.meta_path.remove(self)
        for name in _CONTENTS:
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
        if fullname in _CONTENTS:
            # All are packages: then `from … import` asks here for a name that one does not have.
            return ModuleSpec(fullname, self, origin="flashode", is_package=True)
        if fullname.startswith("torchdiffeq."):
            # Without the attribute `name`: `from … import` ignores an error that has it.
            raise ModuleNotFoundError(_missing(fullname))
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Fills the module with what programs import from torchdiffeq's."""
        if module.__name__ == "torchdiffeq":
            importlib.import_module("torchdiffeq._impl")
        elif module.__name__ == "torchdiffeq._impl":
            importlib.import_module("torchdiffeq._impl.adjoint")
            importlib.import_module("torchdiffeq._impl.odeint")
        # After the imports, which leave modules under the names of functions.
        vars(module).update(_CONTENTS[module.__name__])


def _missing(what: str) -> str:
    return (
        f"flashode stands in for torchdiffeq, which is not installed, and does not have {what}; a program "
        "that needs it runs with both: pip install torchdiffeq"
    )
