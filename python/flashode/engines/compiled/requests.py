"""What a solve may ask of the compiled module: tolerances by element, the user's norm, an event, nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from flashode.declined import Declined
from flashode.engines.compiled.field import NativeField
from flashode.memory import address, plain
from flashode.problem import AdaptiveOptions, FixedOptions, Problem


def requests(
    module: Any, problem: Problem, event: NativeField | Declined | None
) -> tuple[dict[str, Any], list[Tensor]]:
    """Arguments of a forward solve, and the memory that they are addresses of.

    Args:
        module: The compiled module.
        problem: What is solved.
        event: Its captured event function, or why the user's is called.
    """
    asked: dict[str, Any] = {}
    kept: list[Tensor] = []
    options = problem.options
    if isinstance(options, AdaptiveOptions):
        for name, tolerance in (("rtol", problem.rtol), ("atol", problem.atol)):
            if isinstance(tolerance, Tensor):
                kept.append(plain(tolerance.to(problem.y0.dtype).expand(problem.y0.shape)))
                asked[name] = address(kept[-1])
        if options.norm is not None:
            asked["norm"] = _norm(problem)
    if isinstance(event, NativeField):
        parameters = list(map(plain, event.inputs))
        kept += parameters
        asked["event"] = module.Event(event.bound(parameters))
    elif event is not None:
        asked["event"] = _event(problem)
    if problem.event is not None and isinstance(options, FixedOptions):
        assert isinstance(options.step_size, float)
        asked["step_size"] = options.step_size
    if problem.every_step:
        asked["every_step"] = True
    return asked, kept


def _norm(problem: Problem) -> tuple[Callable[[], float], int]:
    """The user's norm of what the compiled module writes to an address."""
    memory = torch.empty_like(problem.y0, memory_format=torch.contiguous_format, requires_grad=False)

    def norm() -> float:
        # A copy: the user may keep what the norm is asked about.
        with torch.no_grad():
            return abs(float(problem.norm(memory.clone())))

    return norm, memory.data_ptr()


def _event(problem: Problem) -> tuple[Callable[[float], float], int]:
    """The user's event function at a solver time and at the state that the compiled module writes."""
    memory = torch.empty_like(problem.y0, memory_format=torch.contiguous_format, requires_grad=False)

    def value(t: float) -> float:
        time = torch.full((), t, dtype=torch.float64)
        with torch.no_grad():
            return float(problem.event_value(time, memory))

    return value, memory.data_ptr()
