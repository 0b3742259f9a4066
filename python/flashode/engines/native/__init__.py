"""The native engine: whole solves in the compiled module, which only this file imports."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

import torch

from flashode.capture import capture
from flashode.declined import Declined
from flashode.engines.build import VERSION
from flashode.engines.compiled.events import call_obstacle, make_event
from flashode.engines.compiled.field import make_field
from flashode.engines.compiled.plan import NativePlan, Recipe
from flashode.engines.compiled.scope import adjoint_obstacles, foreign, obstacles, too_many_unknowns

if TYPE_CHECKING:
    from flashode.problem import Adjoint, Problem

# An absent module selects the next engine; one that is there but broken raises here and is not hidden.
_NAME = "flashode._flashode"
_flashode: Any = None if importlib.util.find_spec(_NAME) is None else importlib.import_module(_NAME)


def engine() -> NativeEngine | Declined:
    """The engine, or why this installation has none."""
    if _flashode is None:
        return Declined("this installation has no compiled module", absent=True)
    return NativeEngine()


def build_info() -> dict[str, Any]:
    """What the compiled module is and what it would run on; see ``flashode.build_info``."""
    return {
        "version": VERSION,
        "compiled": _flashode is not None,
        "compiler": None if _flashode is None else _flashode.compiler,
        "instruction_sets": () if _flashode is None else tuple(_flashode.instruction_sets()),
        "instruction_set": None if _flashode is None else _flashode.active_instruction_set(),
        "threads": torch.get_num_threads(),
        "cuda_built": _flashode is not None and _flashode.cuda_built,
        "cuda_available": torch.cuda.is_available(),
    }


def arithmetic_rate(precision: str, threads: int, seconds: float) -> float | None:
    """Operations a second of so many threads, in registers alone; None without the compiled module."""
    return None if _flashode is None else float(_flashode.arithmetic_rate(precision, threads, seconds))


def memory_rate(size: int, threads: int, seconds: float) -> float | None:
    """Triads on arrays of so many bytes together: bytes a second; None without the compiled module."""
    return None if _flashode is None else float(_flashode.memory_rate(size, threads, seconds))


class NativeEngine:
    """Captured fields, solved by the compiled tile engine on the CPU."""

    name = "native"

    def plan(self, problem: Problem, adjoint: Adjoint | None) -> NativePlan | Declined:
        """A plan, or the first thing that keeps this problem from running here."""
        for method in (problem.method, *(() if adjoint is None else (adjoint.method,))):
            reason = foreign(method)
            if reason is not None:
                return Declined(reason, expected=True)
        reasons = [*obstacles(problem), *(() if adjoint is None else adjoint_obstacles(problem, adjoint))]
        if reasons:
            return Declined(*reasons)
        y0 = problem.y0
        captured = capture(
            problem.func,
            (problem.direction * problem.t[0]).detach().to(y0.dtype),
            problem.unflatten(y0.detach()),
            problem.verify,
            problem.direction * problem.times[-1],
        )
        if isinstance(captured, Declined):
            return captured
        field = make_field(_flashode, problem, adjoint, captured, connected=adjoint is None)
        if isinstance(field, Declined):
            return field
        event = make_event(_flashode, problem)
        reason = call_obstacle(problem, event, field)
        if reason is not None:
            return Declined(reason)
        rows = sum(rows for rows, moves in field.layout.segments if moves)
        for method in (problem.method, *(() if adjoint is None else (adjoint.method,))):
            reason = too_many_unknowns(method, rows)
            if reason is not None:
                return Declined(reason)
        return NativePlan(Recipe.of(_flashode, problem, adjoint), problem, adjoint, field, event)
