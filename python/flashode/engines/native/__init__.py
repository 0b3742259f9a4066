"""The native engine: whole solves in the compiled module."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import torch

from flashode.declined import Declined
from flashode.engines.compiled.engine import CompiledEngine
from flashode.engines.compiled.plan import CompiledPlan

if TYPE_CHECKING:
    from flashode.engines.native.backend import NativeBackend

# An absent module selects the next engine; one that is there but broken raises here and is not hidden.
_backend: NativeBackend | None = None
if importlib.util.find_spec("flashode._flashode") is not None:
    from flashode import _flashode
    from flashode.engines.native.backend import NativeBackend

    _backend = NativeBackend()


def engine() -> CompiledEngine | Declined:
    """The engine, or why this installation has none."""
    if _backend is None:
        return Declined("this installation has no compiled module", absent=True)
    return CompiledEngine(_backend)


def build_info() -> dict[str, Any]:
    """What the compiled module is and what it would run on, for ``flashode.build_info``."""
    compiled = _backend is not None
    return {
        "compiled": compiled,
        "compiler": _flashode.compiler if compiled else None,
        "instruction_sets": tuple(_flashode.instruction_sets()) if compiled else (),
        "instruction_set": _flashode.active_instruction_set() if compiled else None,
        "threads": torch.get_num_threads(),
        "cuda_built": compiled and _flashode.cuda_built,
        "cuda_available": torch.cuda.is_available(),
    }


def arithmetic_rate(precision: str, threads: int, seconds: float) -> float | None:
    """Operations a second of so many threads, in registers alone; None without the compiled module."""
    if _backend is None:
        return None
    return _flashode.arithmetic_rate(precision=precision, threads=threads, seconds=seconds)


def memory_rate(size: int, threads: int, seconds: float) -> float | None:
    """Triads on arrays of so many bytes together: bytes a second; None without the compiled module."""
    if _backend is None:
        return None
    return _flashode.memory_rate(bytes=size, threads=threads, seconds=seconds)


def evaluation_seconds(plan: CompiledPlan, steps: int) -> float:
    """Evaluates a plan's field alone as often as so many of its steps do.

    Returns:
        The seconds that all of them took, and a start, less those that the calling thread waited.
    """
    assert _backend is not None
    field, y0 = plan.field_request()
    problem = plan.problem
    outcome = _backend.evaluate(field, y0, problem.times[0], steps, problem.tableau.stages)
    return outcome.seconds - outcome.waited
