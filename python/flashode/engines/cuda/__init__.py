"""The CUDA engine: whole solves in kernels that are generated for a Program and compiled at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flashode.declined import Declined

if TYPE_CHECKING:
    from flashode.engines.compiled.engine import CompiledEngine


def engine() -> CompiledEngine | Declined:
    """The engine, or why this installation has none."""
    return Declined("there is no CUDA driver", absent=True)
