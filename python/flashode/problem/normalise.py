"""From what the user wrote to a :class:`Problem`, or a clear error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from itertools import islice, pairwise
from operator import lt
from typing import Any, get_args

import torch

from flashode import notices
from flashode.methods import METHODS, Method, SciPy
from flashode.problem.checks import check_callable, check_choice, check_dense
from flashode.problem.definition import Callback, Callbacks, Problem
from flashode.problem.event import make_event
from flashode.problem.moments import as_floats
from flashode.problem.options import AdaptiveOptions, FixedOptions, Options, make_options
from flashode.problem.tolerances import make_tolerance
from flashode.state import State
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
) -> Problem:
    """Check the arguments of a solve and bring them to one form.

    An event function is asked for its signs at the start.

    Raises:
        TypeError: If an argument has the wrong type; the message says what was given and what is accepted.
        ValueError: If an argument has an impossible value; likewise.
    """
    check_callable("func", func, "a callable of (t, y)")
    check_choice("verify", verify, VERIFY)
    used = find_method("method", method)
    state, shapes = make_state(y0)
    direction, solver_t, times = make_times(t, state.device)
    made = make_options(used, options, direction)
    dtype = time_dtype(made, state)
    event = None
    if event_fn is not None:
        _check_event(len(times), used, made)
        dtype_of_time = real_dtype(state)
        start = (direction * solver_t[0]).detach().to(dtype_of_time)
        event = make_event(event_fn, start, y0, dtype_of_time)
    if used.control == "given":
        # Nothing reads them in a fixed-step solve, where torchdiffeq takes None.
        rtol = DEFAULT_RTOL if rtol is None else rtol
        atol = DEFAULT_ATOL if atol is None else atol
    return Problem(
        func=func,
        y0=state,
        shapes=shapes,
        t=solver_t,
        times=times,
        direction=direction,
        method=used,
        rtol=make_tolerance("rtol", rtol, state, shapes, dtype),
        atol=make_tolerance("atol", atol, state, shapes, dtype),
        options=made,
        callbacks=find_callbacks(func, used),
        verify=verify,
        event=event,
    )


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


_CALLBACKS = ("step", "accept_step", "reject_step")


@cache
def callback_names(suffix: str = "") -> tuple[str, ...]:
    """What a function's callbacks are called."""
    return tuple(f"callback_{kind}{suffix}" for kind in _CALLBACKS)


def find_callbacks(func: object, method: Method, suffix: str = "") -> Callbacks:
    """The function's callbacks, with a warning for those that the method does not support."""
    found: dict[str, Callback | None] = {
        kind: getattr(func, name, None) for kind, name in zip(_CALLBACKS, callback_names(suffix), strict=True)
    }
    unsupported: tuple[str, ...] = () if method.control == "error" else ("accept_step", "reject_step")
    why = "takes fixed steps"
    if isinstance(method, SciPy):
        unsupported, why = ("step", "accept_step", "reject_step"), "is run by SciPy"
    ignored = [kind for kind in unsupported if found[kind] is not None]
    if ignored:
        notices.warn(
            f"method {method.name!r} {why} and does not call "
            f"{', '.join(f'callback_{kind}{suffix}' for kind in ignored)}"
        )
        found.update(dict.fromkeys(ignored))
    return Callbacks(*found.values())


def time_dtype(options: Options, y0: torch.Tensor) -> torch.dtype:
    """The precision of time in an adaptive solve, and of tensor tolerances."""
    chosen = options.dtype if isinstance(options, AdaptiveOptions) else torch.float64
    return torch.promote_types(chosen, real_dtype(y0))


def real_dtype(y0: torch.Tensor) -> torch.dtype:
    """The tensor's dtype, or that of its real part."""
    return y0.dtype.to_real() if y0.is_complex() else y0.dtype


def make_state(y0: Any) -> tuple[torch.Tensor, tuple[torch.Size, ...] | None]:
    """The state as one tensor, and the shapes of a tuple's components.

    Raises:
        TypeError: If it has the wrong type.
        ValueError: If it is empty or lies on several devices.
    """
    if isinstance(y0, torch.Tensor):
        _check_numbers("y0", y0)
        return y0, None
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
    return torch.cat([part.reshape(-1) for part in y0]), tuple(part.shape for part in y0)


def _check_numbers(name: str, y0: torch.Tensor) -> None:
    if not (y0.is_floating_point() or y0.is_complex()):
        raise TypeError(f"{name} must have a floating-point or complex dtype, got {y0.dtype}")
    check_dense(name, y0)


def make_times(t: Any, device: torch.device) -> tuple[float, torch.Tensor, tuple[float, ...]]:
    """Direction, increasing times on the state's device, and the same as floats.

    Raises:
        TypeError: If ``t`` has the wrong type.
        ValueError: If it is no sequence of ordered times.
    """
    if not isinstance(t, torch.Tensor):
        raise TypeError(f"t must be a one-dimensional floating-point tensor, got {type(t).__name__}")
    if not t.is_floating_point():
        raise TypeError(f"t must have a floating-point dtype, got {t.dtype}")
    check_dense("t", t)
    if t.dim() != 1:
        raise ValueError(f"t must be one-dimensional, got shape {tuple(t.shape)}")
    # A copy: what is solved and differentiated later is to have the times as they are now.
    t = t.clone()
    given = as_floats(t)
    if not given:
        raise ValueError("t must hold at least one time, got none")
    direction = -1.0 if len(given) > 1 and given[0] > given[1] else 1.0
    times = given if direction > 0 else [-x for x in given]
    # Of ordered times only the ends can be infinite, and NaN is in no order.
    ordered = all(map(lt, times, islice(times, 1, None)))
    if not (ordered and math.isfinite(given[0]) and math.isfinite(given[-1])):
        for i, x in enumerate(given):
            if not math.isfinite(x):
                raise ValueError(f"t must be finite, got t[{i}] = {x}")
        i = next(i for i, (a, b) in enumerate(pairwise(times)) if not a < b)
        raise ValueError(
            f"t must be strictly increasing or strictly decreasing, got t[{i}] = {given[i]} and t[{i + 1}] = "
            f"{given[i + 1]}"
        )
    if t.device != device:
        notices.warn(f"t is on {t.device} and y0 on {device}; t is moved there")
        t = t.to(device)
    return direction, t if direction > 0 else -t, tuple(times)
