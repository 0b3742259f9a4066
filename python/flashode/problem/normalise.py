"""From what the user wrote to a :class:`Problem`, or a clear error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import torch

from flashode.methods import METHODS, Method
from flashode.problem.callbacks import find_callbacks
from flashode.problem.checks import check_callable, check_choice, check_dense
from flashode.problem.definition import Problem
from flashode.problem.event import Event
from flashode.problem.integration import make_integration
from flashode.problem.options import FixedOptions, Options
from flashode.problem.settings import make_settings
from flashode.problem.times import make_times
from flashode.problem.tolerances import CheckedTolerance, make_tolerance
from flashode.state import State, Structure
from flashode.verify import Verify

DEFAULT_METHOD = "dopri5"
DEFAULT_RTOL = 1e-7
DEFAULT_ATOL = 1e-9
VERIFY = get_args(Verify)


def make_problem(
    func: Callable[..., Any],
    y0: State,
    t: torch.Tensor,
    *,
    rtol: Any,
    atol: Any,
    method: str | None,
    options: Mapping[str, Any] | None,
    verify: Verify = "first",
    event_fn: Callable[..., Any] | None = None,
    every_step: bool = False,
) -> Problem:
    """Check the arguments of a solve and bring them to one form.

    Raises:
        TypeError: If an argument has the wrong type; the message says what was given and what is accepted.
        ValueError: If an argument has an impossible value; likewise.
    """
    check_callable("func", func, "a callable of (t, y)")
    check_choice("verify", verify, VERIFY)
    used = find_method("method", method)
    state, structure = make_state(y0)
    solver_t, times = make_times(t, state.device)
    direction = times.direction
    if used.control == "fixed":
        # Nothing reads them in a fixed-step solve, where torchdiffeq takes None.
        rtol = DEFAULT_RTOL if rtol is None else rtol
        atol = DEFAULT_ATOL if atol is None else atol
    shapes = structure.shapes if structure.is_tuple else None

    def check_tolerance(argument: str, value: Any, dtype: torch.dtype) -> CheckedTolerance:
        return make_tolerance(argument, value, state, shapes, dtype)

    integration = make_integration(used, rtol, atol, options, direction, state, structure, check_tolerance)
    event = None
    if event_fn is not None:
        _check_event(len(times.values), used, integration.options)
        check_callable("event_fn", event_fn, "a callable of (t, y) or None")
        dtype = state.dtype.to_real()
        event = Event(event_fn, lambda: ((direction * solver_t[0]).detach().to(dtype), y0), dtype)
    of = state.dtype, state.device, direction, integration.integrator, verify, event is not None, every_step
    settings = make_settings(structure, *of)
    return Problem(settings, func, state, solver_t, times, integration, find_callbacks(func, used), event)


def _check_event(times: int, method: Method, options: Options) -> None:
    if times != 2:
        raise ValueError(
            f"t must hold two times where event_fn is given, the start and one that tells the direction, got "
            f"{times}"
        )
    if method.interpolant is None:
        raise ValueError(f"event_fn must be None for method {method.name!r}, which finds no events")
    if isinstance(options, FixedOptions) and options.step_size is None:
        raise ValueError(
            f"event_fn needs options={{'step_size': ...}} for method {method.name!r}, whose steps cannot be "
            "laid between given times: nobody knows when the event is"
        )


def find_method(argument: str, method: str | None) -> Method:
    """The method of that name.

    Raises:
        TypeError: If the name is no string.
        ValueError: If there is no such method.
    """
    if method is None:
        method = DEFAULT_METHOD
    if not isinstance(method, str):
        raise TypeError(f"{argument} must be a string or None, got {type(method).__name__}")
    check_choice(argument, method, METHODS)
    return METHODS[method]


def make_state(y0: Any) -> tuple[torch.Tensor, Structure]:
    """The state as one tensor, flat for a tuple, and what it looks like to the function.

    Raises:
        TypeError: If it has the wrong type.
        ValueError: If it is empty or lies on several devices.
    """
    if isinstance(y0, torch.Tensor):
        _check_numbers("y0", y0)
        return y0, Structure((y0.shape,), False)
    if not isinstance(y0, tuple):
        raise TypeError(f"y0 must be a tensor or a tuple of tensors, got {type(y0).__name__}")
    if not y0:
        raise ValueError("y0 must be a tensor or a tuple of tensors, got an empty tuple")
    for i, part in enumerate(y0):
        if not isinstance(part, torch.Tensor):
            raise TypeError(f"y0[{i}] must be a tensor, got {type(part).__name__}")
        _check_numbers(f"y0[{i}]", part)
        if part.device != y0[0].device:
            raise ValueError(f"y0[{i}] must be on the device of y0[0], {y0[0].device}, got {part.device}")
    return torch.cat([part.reshape(-1) for part in y0]), Structure(tuple([part.shape for part in y0]), True)


def _check_numbers(name: str, y0: torch.Tensor) -> None:
    if not (y0.is_floating_point() or y0.is_complex()):
        raise TypeError(f"{name} must have a floating-point or complex dtype, got {y0.dtype}")
    check_dense(name, y0)
