"""A call of a solver of either torchdiffeq or flashode, and its outcome."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from differential.fields import KINDS, Functions, Kind, make_state
from flashode.errors import FallbackWarning, SolverError

CALLBACKS = ("callback_step", "callback_accept_step", "callback_reject_step")


@dataclass(frozen=True)
class Call:
    """One call, without anything that a solve could change.

    Attributes:
        face: ``odeint``, ``odeint_adjoint``, ``odeint_dense``, or ``odeint_event`` with one of the first two.
        method: As the caller gives it.
        kind: Name of a kind of state.
        func: Name of one of its functions.
        dtype: Real dtype of the state.
        times: The times.
        time_dtype: Their dtype.
        rtol: As given.
        atol: As given.
        options: As given, or None.
        adjoint: The arguments only of ``odeint_adjoint``, without ``adjoint_params``.
        gradients: Whether gradients are asked for.
        time_gradients: Whether also in the times.
        second: Whether also those of the gradients' squares.
        params: How many of the parameters are ``adjoint_params``; None leaves them to be found.
        event: Name of an event function, or None.
        callbacks: Names of callbacks that the function has.
    """

    face: str
    method: str
    kind: str
    func: str
    dtype: torch.dtype
    times: tuple[float, ...]
    time_dtype: torch.dtype
    rtol: Any
    atol: Any
    options: dict[str, Any] | None = None
    adjoint: dict[str, Any] = field(default_factory=dict)
    gradients: bool = False
    time_gradients: bool = False
    second: bool = False
    params: int | None = None
    event: str | None = None
    callbacks: tuple[str, ...] = ()

    @property
    def state(self) -> Kind:
        return KINDS[self.kind]


@dataclass
class Outcome:
    """What came of a call.

    Attributes:
        parts: The solution's components; its event time first if there is one.
        is_tuple: Whether the solution is a tuple.
        gradients: In y0, the times and the parameters, as far as they were asked for.
        forward: Evaluations of the forward solve, where they are counted.
        total: Evaluations of all.
        notes: What the callbacks got.
        error: What was raised.
        warnings: For the caller.
    """

    parts: list[Tensor] = field(default_factory=list)
    is_tuple: bool = False
    gradients: list[Tensor | None] = field(default_factory=list)
    forward: int | None = None
    total: int | None = None
    notes: list[tuple[str, Tensor, list[Tensor], Tensor]] = field(default_factory=list)
    error: Exception | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def ending(self) -> str:
        """What kind of end it was."""
        error = self.error
        if error is None:
            return "returned"
        text = str(error)
        failures = ("underflow in dt", "non-finite values", "max_num_steps exceeded", "Reached maximum")
        if isinstance(error, SolverError) or any(words in text for words in failures):
            return "failed"
        if "does not require grad" in text:
            return "no gradient"
        return "refused"


def perform(library: Any, call: Call) -> Outcome:
    """Make the call to a library, and reverse it if gradients are asked for."""
    functions = call.state.fields[call.func](call.dtype)
    outcome = Outcome()
    _attach(call, functions, outcome)
    with warnings.catch_warnings(record=True) as caught, _double_precision(call.method == "scipy_solver"):
        warnings.simplefilter("always")
        try:
            _solve(library, call, functions, outcome)
        except Exception as error:
            outcome.error = error
    if functions.counter is not None:
        outcome.total = functions.counter.nfe
    outcome.warnings = [
        str(w.message)
        for w in caught
        if issubclass(w.category, UserWarning)
        and not issubclass(w.category, FallbackWarning)
        # SciPy's: theirs always hands it a min_step.
        and "have no effect for a chosen solver" not in str(w.message)
    ]
    return outcome


@contextmanager
def _double_precision(used: bool) -> Iterator[None]:
    """By default theirs would hand times over to SciPy's functions by way of single precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64 if used else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _solve(library: Any, call: Call, functions: Functions, outcome: Outcome) -> None:
    y0 = tuple(part.requires_grad_(call.gradients) for part in make_state(call.state, call.dtype))
    t = torch.tensor(call.times, dtype=call.time_dtype, requires_grad=call.gradients and call.time_gradients)
    state = y0 if call.state.is_tuple else y0[0]
    arguments = {"rtol": call.rtol, "atol": call.atol, "method": call.method, "options": call.options}
    adjoint = "adjoint" in call.face
    if adjoint:
        arguments.update(call.adjoint)
        if functions.counter is None or call.params is not None:
            arguments["adjoint_params"] = functions.parameters[: call.params]
    if call.event is not None:
        arguments["event_fn"] = event_function(call)
    if call.face.startswith("odeint_event"):
        interface = library.odeint_adjoint if adjoint else library.odeint
        reverse = call.times[0] > call.times[-1]
        solved = library.odeint_event(
            functions.func, state, t[0], reverse_time=reverse, odeint_interface=interface, **arguments
        )
    elif call.face == "odeint_dense":
        solution = library.odeint_dense(functions.func, state, t[0], t[1], **arguments)
        solved = torch.stack([solution(t[0] + x * (t[1] - t[0])) for x in (0.1, 0.55, 1.0)])
    else:
        solved = getattr(library, call.face)(functions.func, state, t, **arguments)
    if call.event is not None:
        event_t, solved = solved
        outcome.parts.append(event_t)
    outcome.is_tuple = isinstance(solved, tuple)
    outcome.parts.extend(solved if outcome.is_tuple else (solved,))
    if functions.counter is not None:
        outcome.forward = functions.counter.nfe
    if not call.gradients:
        return
    inputs = [*y0, *([t] if call.time_gradients else []), *functions.parameters]
    gradients = torch.autograd.grad(_loss(outcome.parts), inputs, allow_unused=True, create_graph=call.second)
    outcome.gradients = [None if g is None else g.detach() for g in gradients]
    if call.second:
        squares = torch.stack([g.abs().square().sum().double() for g in gradients if g is not None]).sum()
        outcome.gradients += torch.autograd.grad(squares, inputs, allow_unused=True)


def _loss(parts: list[Tensor]) -> Tensor:
    """A weighted sum in which every number counts."""
    total = torch.zeros((), dtype=torch.float64)
    for part in parts:
        flat = part.reshape(-1)
        weights = torch.cos(torch.arange(flat.numel(), dtype=torch.float64))
        numbers = flat.real + 0.7 * flat.imag if flat.is_complex() else flat
        total = total + (numbers * weights).sum()
    return total


def _attach(call: Call, functions: Functions, outcome: Outcome) -> None:
    for name in call.callbacks:
        setattr(functions.func, name, _noting(name, outcome))


def _noting(name: str, outcome: Outcome) -> Callable[[Tensor, Any, Tensor], None]:
    def note(t0: Tensor, y0: Any, dt: Tensor) -> None:
        parts = list(y0) if isinstance(y0, tuple) else [y0]
        outcome.notes.append((name, t0.detach(), [part.detach() for part in parts], dt.detach()))

    return note


def event_function(call: Call) -> Callable[[Tensor, Any], Tensor]:
    """An event that surely happens within two units of time."""
    start = call.times[0]
    sign = -1.0 if call.times[0] > call.times[-1] else 1.0

    def first(state: Any) -> Tensor:
        part = state[0] if isinstance(state, tuple) else state
        number = part.reshape(-1)[0]
        return number.real if number.is_complex() else number

    def one(t: Tensor, state: Any) -> Tensor:
        return sign * (t - start) - 1 - 0.3 * torch.tanh(first(state))

    def several(t: Tensor, state: Any) -> Tensor:
        return torch.stack([one(t, state), 1.4 + 0.2 * torch.tanh(first(state)) - sign * (t - start)])

    return {"one": one, "several": several}[call.event or "one"]
