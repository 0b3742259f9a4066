"""Why a solve runs where it runs: ``explain`` and what it finds, as attributes and as text."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from flashode.declined import Declined, Place, Reason, listed, source
from flashode.engines import REGISTRY, consider, name_of
from flashode.problem import (
    DEFAULT_ATOL,
    DEFAULT_RTOL,
    DISCRETE,
    Continuous,
    Gradient,
    Problem,
    SciPyOptions,
    State,
    device_of,
    make_continuous,
    make_problem,
)
from flashode.program import Program, Y, format_body
from flashode.verify import Verify

if TYPE_CHECKING:
    from flashode.capture import Capture

# The engine that takes every problem.
_FALLBACK = [*REGISTRY][-1]
_LABELS = 12
_WIDTH = 100 - _LABELS


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """Which engine runs a solve, why faster ones do not, and what was made of the function.

    ``str`` gives all of it to read, and so does a prompt.

    Attributes:
        function: What the function calls itself.
        state: The state it is asked about, in words.
        method: Name of the method.
        gradients: ``"discrete adjoint"`` for ``odeint``, or ``"no gradients"`` where SciPy solves;
            ``"continuous adjoint"`` for ``odeint_adjoint``.
        engine: Name of the engine that would run, or None where ``use_engine`` insists on one that declines.
        reasons: Why each faster engine does not run it, by its name, fastest first: up to ten reasons, each
            with what stands in the way, what to write instead, and where; ``declined`` has them in words.
        error: What the function raises, if that is why it was not captured.
        program: The captured function of one trajectory, or None if it was not captured.
        batched: Whether the state holds independent trajectories in its first dimension, else it is one
            trajectory; None without a program.
        trajectories: How many independent trajectories the state holds; 0 without a program.
        carried: Shapes of the function's tensors of which each trajectory reads its own slice, the program's
            ``c``.
        parameters: How each parameter of the program is made: the name of a tensor, such as
            ``net.0.weight``, or an expression of such names, which torch evaluates once for each solve.
        counters: What the function's own counters grow by at each evaluation, by name.
        event: What the event function calls itself, or None where there is none.
        event_reasons: Why the native engine, where it runs the solve, calls the event function from Python;
            ``event_called`` has the same in words.
    """

    function: str
    state: str
    method: str
    gradients: str
    engine: str | None
    reasons: Mapping[str, tuple[Reason, ...]]
    error: Exception | None = None
    program: Program | None = None
    batched: bool | None = None
    trajectories: int = 0
    carried: tuple[tuple[int, ...], ...] = ()
    parameters: tuple[str, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    event: str | None = None
    event_reasons: tuple[Reason, ...] = ()

    @property
    def declined(self) -> Mapping[str, str]:
        """Why each faster engine does not run it, in words, by its name, fastest first."""
        return {name: listed(reasons) for name, reasons in self.reasons.items()}

    @property
    def event_called(self) -> str | None:
        """Why the native engine calls the event function from Python, in words; None where it does not."""
        return listed(self.event_reasons) or None

    def __str__(self) -> str:
        return "\n".join(_text(self))

    __repr__ = __str__


def explain(
    func: Callable[..., Any],
    y0: State,
    t: torch.Tensor | float | None = None,
    *,
    rtol: Any = DEFAULT_RTOL,
    atol: Any = DEFAULT_ATOL,
    method: str | None = None,
    options: Mapping[str, Any] | None = None,
    event_fn: Callable[..., Any] | None = None,
    verify: Verify = "first",
    adjoint: bool = False,
    adjoint_rtol: Any = None,
    adjoint_atol: Any = None,
    adjoint_method: str | None = None,
    adjoint_options: Mapping[str, Any] | None = None,
    adjoint_params: Iterable[torch.Tensor] | None = None,
) -> Explanation:
    """Say which engine would run a solve, and what stands in the way of the faster ones.

    Nothing is solved. The function may be called a few times; nothing it does then can be noticed afterwards.
    Print the result, or look at its attributes. A function that raises does not make this raise. Not for a
    function that another thread is solving with: what that adds to its counters meanwhile may be lost.

    Args:
        func: As for :func:`flashode.odeint`.
        y0: Likewise; its shape, dtype and device matter, and its values where the function is defined.
        t: The times of a solve, or one time; None is 0. With ``event_fn`` two times, or the one that the
            solve starts from.
        rtol: As for :func:`flashode.odeint`.
        atol: Likewise.
        method: Likewise.
        options: Likewise.
        event_fn: Likewise. It is called at the start, as a solve does; what it raises then, this raises.
        verify: Likewise.
        adjoint: Whether to explain :func:`flashode.odeint_adjoint`; any of its own arguments says so too.
        adjoint_rtol: As for :func:`flashode.odeint_adjoint`.
        adjoint_atol: Likewise.
        adjoint_method: Likewise.
        adjoint_options: Likewise.
        adjoint_params: Likewise.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has an impossible value.
    """
    if not isinstance(adjoint, bool):
        raise TypeError(f"adjoint must be True or False, got {type(adjoint).__name__}")
    problem = make_problem(
        func,
        y0,
        _times(t, y0, event_fn is not None),
        rtol=rtol,
        atol=atol,
        method=method,
        options=options,
        verify=verify,
        event_fn=event_fn,
    )
    adjoint_arguments = (adjoint_rtol, adjoint_atol, adjoint_method, adjoint_options, adjoint_params)
    gradient: Gradient = DISCRETE
    if adjoint or any(argument is not None for argument in adjoint_arguments):
        gradient = make_continuous(
            problem,
            method=method,
            options=options,
            adjoint_rtol=adjoint_rtol,
            adjoint_atol=adjoint_atol,
            adjoint_method=adjoint_method,
            adjoint_options=adjoint_options,
            adjoint_params=adjoint_params,
        )
    return _explained(problem, gradient)


def _explained(problem: Problem, gradient: Gradient) -> Explanation:
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
        **({} if isinstance(captured, Declined) else _shown(problem, captured)),
    )


def _all(declined: Declined, captured: Capture | Declined) -> tuple[Reason, ...]:
    """Why an engine declines, and why it would if there were nothing else: the function is not captured."""
    if declined.absent or declined.expected or not isinstance(captured, Declined):
        return declined.reasons
    return Declined(*declined.reasons, *captured.reasons).reasons


def _gradients(problem: Problem, gradient: Gradient) -> str:
    if isinstance(gradient, Continuous):
        return "continuous adjoint"
    return "no gradients" if isinstance(problem.options, SciPyOptions) else "discrete adjoint"


def _times(t: Any, y0: Any, to_event: bool) -> torch.Tensor:
    """The times of the solve; to an event, from one time on."""
    times = t if isinstance(t, torch.Tensor) and t.dim() > 0 else _time(t, y0)
    if not to_event or times.shape != (1,):
        return times
    start = times.detach()
    return torch.cat([times, start + start.abs().clamp(min=1)])


def _time(t: Any, y0: Any) -> torch.Tensor:
    try:
        time = 0.0 if t is None else float(t)
    except (TypeError, ValueError):
        raise TypeError(f"t must be a tensor of times, a number or None, got {type(t).__name__}") from None
    return torch.tensor([time], dtype=torch.float64, device=device_of(y0))


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
    """What the problem's function, which raised when it was captured, raises at its first time and state."""
    from flashode.capture import error_of

    t = problem.t[0].detach().clone()
    y = problem.y0.detach().clone().requires_grad_(problem.y0.requires_grad)
    return error_of(problem.func, lambda: problem.field(t, y))


def _shown(problem: Problem, capture: Capture) -> dict[str, Any]:
    """What there is to show of a capture."""
    return {
        "program": capture.program,
        "batched": capture.batched,
        "trajectories": (problem.structure.batch if capture.batched else None) or 1,
        "carried": tuple(tuple(tensor.shape) for tensor in capture.carried),
        "parameters": tuple(capture.prologue.describe(capture.names)),
        "counters": {name: amount for _, name, amount in capture.counters},
    }


def _text(it: Explanation) -> Iterator[str]:
    from flashode.capture.places import raised_at

    yield _headline(it)
    yield ""
    if it.error is not None:
        # Why an engine declines such a function is the same once more, less clearly.
        yield from _entry("error", f"{type(it.error).__name__}: {it.error}")
        yield from _line(raised_at(it.error))
    else:
        for name, reasons in it.reasons.items():
            yield from _because(name, "declines because", reasons)
    yield from _entry("solve", f"{it.method}, {it.gradients}")
    if it.event is not None:
        yield from _event(it)
    yield from _entry("state", it.state + _trajectories(it))
    if it.program is None:
        return
    for shape in it.carried:
        yield from _entry("carried", f"a tensor of shape {shape}: each trajectory reads its own slice")
    for name, amount in it.counters.items():
        yield from _entry("counter", f"{name} grows by {amount} at each evaluation")
    yield from _entry("parameters", _parameters(it.program))
    yield from map(_indented, _parameter_table(it))
    yield from _entry("program", f"{it.program.flops():,} flops an evaluation of one trajectory")
    yield from map(_indented, format_body(it.program))


def _headline(it: Explanation) -> str:
    if it.error is not None:
        return f"{it.function} does not run: calling it raises {type(it.error).__name__}."
    if it.engine is None:
        (insisted,) = it.declined
        return f"{it.function} does not run: use_engine insists on the {insisted} engine, which declines."
    if it.engine == _FALLBACK:
        asked = "" if it.declined else ", as use_engine asks"
        return f"{it.function} runs in the {_FALLBACK} engine{asked}: plain PyTorch, a step at a time."
    return f"{it.function} runs in the {it.engine} engine."


def _event(it: Explanation) -> Iterator[str]:
    if it.event_reasons:
        yield from _because(
            "event", f"{it.event} is called from Python at each step because", it.event_reasons
        )
        return
    captured = "" if it.engine in (None, _FALLBACK) else ", captured"
    yield from _entry("event", f"{it.event}{captured}")


def _because(label: str, claim: str, reasons: tuple[Reason, ...]) -> Iterator[str]:
    """A claim with all its reasons, each with the line that it is found in."""
    for reason in reasons:
        yield from _entry(label, f"{claim} {reason.sentence}")
        yield from _line(reason.where)
        label, claim = "", "and because"


def _trajectories(it: Explanation) -> str:
    if it.program is None:
        return ""
    numbers = _count(it.program.widths[Y], "number")
    if not it.batched:
        return f", one trajectory of {numbers}"
    return f", {_count(it.trajectories, 'independent trajector', 'y', 'ies')} of {numbers}"


def _parameters(program: Program) -> str:
    if not program.parameter_shapes:
        return "none"
    total = sum(torch.Size(shape).numel() for shape in program.parameter_shapes)
    return f"{_count(total, 'number')}, read or computed by torch once a solve"


def _parameter_table(it: Explanation) -> Iterator[str]:
    assert it.program is not None
    shapes = [str(list(shape)) for shape in it.program.parameter_shapes]
    longest = max(map(len, shapes), default=0)
    for i, (shape, expression) in enumerate(zip(shapes, it.parameters, strict=True)):
        yield f"p{i:<3} {shape:<{longest}}  {expression}"


def _count(n: int, noun: str, one: str = "", many: str = "s") -> str:
    return f"{n:,} {noun}{one if n == 1 else many}"


def _entry(label: str, text: str) -> Iterator[str]:
    for line in text.splitlines():
        for part in textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False):
            yield f"{label:<{_LABELS}}{part}"
            label = ""


def _indented(line: str) -> str:
    return " " * _LABELS + line


def _line(place: Place | None) -> Iterator[str]:
    """A line of the user's code: where it is, and what it says."""
    if place is not None:
        file, number = place
        inside = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
        yield _indented(f"at {inside}:{number}")
        text = source(place)
        if text:
            yield _indented(f"    {text}")
