"""The CUDA engine: whole solves in kernels that are generated for a Program and compiled at run time."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from flashode.declined import Declined

if TYPE_CHECKING:
    from flashode.engines.cuda.cuda_engine import CudaEngine


def engine() -> CudaEngine | Declined:
    """The engine, or why this installation has none. Whether there is a GPU is seen when it plans a solve."""
    if importlib.util.find_spec("flashode._flashode") is None:
        return Declined("this installation has no compiled module", absent=True)
    from flashode.engines.cuda.cuda_engine import CudaEngine

    return CudaEngine()
