"""The explanation of a problem, from the answers of the engines and the capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from flashode.declined import Declined, Reason
from flashode.engines import consider, name_of
from flashode.engines.protocol import Plan
from flashode.explain.explanation import Explanation, Kernel
from flashode.problem import Continuous, Gradient, Problem, SciPyOptions

if TYPE_CHECKING:
    from flashode.capture import Capture


def answer(problem: Problem, gradient: Gradient, shows_source: bool) -> Explanation:
    """The explanation of a problem."""
    if problem.event is not None:
        _ = problem.event.signs  # what the event function raises is for the caller
    choice = consider(problem, gradient)
    captured = _captured(problem)
    called = None if choice.plan is None else choice.plan.event_called
    return Explanation(
        function=name_of(problem.func),
        state=_state(problem),
        method=problem.method.name,
        gradients=_gradients(problem, gradient),
        engine=None if choice.plan is None else choice.plan.engine,
        reasons={name: _all(declined, captured) for name, declined in choice.declined.items()},
        error=_error_of(problem) if isinstance(captured, Declined) and captured.raised else None,
        event=None if problem.event is None else name_of(problem.event.function),
        event_reasons=() if called is None else called.reasons,
        kernels=() if choice.plan is None else _kernels(choice.plan),
        shows_source=shows_source,
        **({} if isinstance(captured, Declined) else _shown(problem, captured)),
    )


def _kernels(plan: Plan) -> tuple[Kernel, ...]:
    with torch.enable_grad():
        return tuple(Kernel(each.name, each.facts, each.source) for each in plan.kernels(reverse=True))


def _all(declined: Declined, captured: Capture | Declined) -> tuple[Reason, ...]:
    """The reasons of an engine, and those for which the function is not captured."""
    if declined.absent or declined.expected or not isinstance(captured, Declined):
        return declined.reasons
    return Declined(*declined.reasons, *captured.reasons).reasons


def _gradients(problem: Problem, gradient: Gradient) -> str:
    if isinstance(gradient, Continuous):
        return "continuous adjoint"
    return "no gradients" if isinstance(problem.options, SciPyOptions) else "discrete adjoint"


def _state(problem: Problem) -> str:
    dtype = str(problem.y0.dtype).removeprefix("torch.")
    if problem.shapes is None:
        return f"{tuple(problem.y0.shape)} {dtype}"
    return f"({', '.join(str(tuple(shape)) for shape in problem.shapes)}) {dtype}"


def _captured(problem: Problem) -> Capture | Declined:
    """The function's capture, also where an engine declines for another reason."""
    from flashode.capture import capture
    from flashode.engines.compiled.start import start_of

    y0 = problem.unflatten(problem.y0)
    return capture(problem.func, y0, lambda: start_of(problem), problem.settings.verify)


def _error_of(problem: Problem) -> Exception | None:
    """The exception of a function, which raised in its capture, at the first time and state."""
    from flashode.capture import error_of

    t = problem.t[0].detach().clone()
    y = problem.y0.detach().clone().requires_grad_(problem.y0.requires_grad)
    return error_of(problem.func, lambda: problem.field(t, y))


def _shown(problem: Problem, capture: Capture) -> dict[str, Any]:
    """The parts of an explanation that come from a capture."""
    return {
        "program": capture.program,
        "batched": capture.batched,
        "trajectories": (problem.structure.batch if capture.batched else None) or 1,
        "carried": tuple(tuple(tensor.shape) for tensor in capture.carried),
        "parameters": tuple(capture.prologue.describe(capture.names)),
        "counters": {name: amount for _, name, amount in capture.counters},
    }
