"""The options of adaptive and fixed-step methods, checked and in solver time."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch

from flashode.methods import Tableau

# (state or tuple of states) -> 0-d tensor or float
Norm = Callable[[Any], Any]
# (func, y0, t) -> 1-D tensor from t[0] to t[-1], in the caller's own time
GridConstructor = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class AdaptiveOptions:
    """Options of a method that chooses its own steps.

    Attributes:
        first_step: Size of the first step, or None to choose it (at the price of one evaluation).
        min_step: A step this small is accepted whatever its error.
        max_step: No step is larger.
        safety: Aims below the tolerance by this factor.
        ifactor: A step grows by at most this.
        dfactor: A step shrinks by at most this.
        max_num_steps: Most steps tried in one output interval.
        dtype: Precision of time; never less than the state's.
        norm: Of the scaled error, or None for the root mean square (the largest one of a tuple state's
            components).
        step_t: Increasing solver times to step on.
        jump_t: Increasing solver times to step on and to evaluate the field afresh just after.
    """

    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    safety: float = 0.9
    ifactor: float = 10.0
    dfactor: float = 0.2
    max_num_steps: int = 2**31 - 1
    dtype: torch.dtype = torch.float64
    norm: Norm | None = None
    step_t: tuple[float, ...] = ()
    jump_t: tuple[float, ...] = ()


@dataclass(frozen=True)
class FixedOptions:
    """Options of a method that steps on a given grid, by default the output times.

    Attributes:
        step_size: Distance of the grid points; a tensor may require grad.
        grid_constructor: Makes the grid instead of ``step_size``.
        interp: Between grid points, ``"linear"`` or ``"cubic"`` (Hermite, one evaluation more for each output
            time).
        perturb: Evaluate a step's first stage just after its start and its last just before its end.
        norm: Of a state, used only by the default norm of an adaptive adjoint solve.
    """

    step_size: float | torch.Tensor | None = None
    grid_constructor: GridConstructor | None = None
    interp: str = "linear"
    perturb: bool = False
    norm: Norm | None = None


Options = AdaptiveOptions | FixedOptions

_ADAPTIVE_NAMES = frozenset(field.name for field in fields(AdaptiveOptions))
_FIXED_NAMES = frozenset(field.name for field in fields(FixedOptions))
_ADAPTIVE_DEFAULTS = AdaptiveOptions()
_FIXED_DEFAULTS = FixedOptions()
_INTERPOLATIONS = ("linear", "cubic")


def make_options(
    tableau: Tableau,
    options: Mapping[str, Any] | None,
    direction: float,
    argument: str = "options",
    *,
    warn: bool = True,
) -> Options:
    """Check a dict of options and turn its times into solver time.

    Args:
        tableau: The method they are for.
        options: What the user gave.
        direction: Solver time is this times the user's.
        argument: The dict's name in messages.
        warn: Whether to warn about options that the method does not know.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option has an impossible value.
    """
    if not options:
        if options is not None and not isinstance(options, Mapping):
            raise TypeError(f"{argument} must be a dict or None, got {options!r}")
        return _ADAPTIVE_DEFAULTS if tableau.adaptive else _FIXED_DEFAULTS
    if not isinstance(options, Mapping):
        raise TypeError(f"{argument} must be a dict or None, got {type(options).__name__}")
    names = _ADAPTIVE_NAMES if tableau.adaptive else _FIXED_NAMES
    unknown = [name for name in options if name not in names]
    if unknown and warn:
        warnings.warn(
            f"{argument}: {tableau.name} does not know {', '.join(map(repr, unknown))}; it takes "
            f"{', '.join(sorted(names))}",
            stacklevel=4,
        )
    known = {name: value for name, value in options.items() if name in names}
    check = _Check(argument)
    if tableau.adaptive:
        return _adaptive(known, direction, check)
    return _fixed(known, direction, check)


@dataclass(frozen=True)
class _Check:
    argument: str

    def name(self, option: str) -> str:
        return f"{self.argument}[{option!r}]"

    def real(self, option: str, value: Any, accepted: str, valid: Callable[[float], bool]) -> float:
        try:
            number = float(value.detach() if isinstance(value, torch.Tensor) else value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{self.name(option)} must be {accepted}, got {value!r}") from None
        if not valid(number):
            raise ValueError(f"{self.name(option)} must be {accepted}, got {number!r}")
        return number

    def callable(self, option: str, value: Any, accepted: str) -> Any:
        if not callable(value):
            raise TypeError(f"{self.name(option)} must be {accepted}, got {value!r}")
        return value


_ADAPTIVE_REALS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "first_step": ("a positive finite number", lambda x: 0 < x < math.inf),
    "min_step": ("a finite number, at least 0", lambda x: 0 <= x < math.inf),
    "max_step": ("a positive number", lambda x: x > 0),
    "safety": ("a positive finite number", lambda x: 0 < x < math.inf),
    "ifactor": ("a number, at least 1", lambda x: x >= 1),
    "dfactor": ("a number above 0 and at most 1", lambda x: 0 < x <= 1),
}


def _adaptive(options: dict[str, Any], direction: float, check: _Check) -> AdaptiveOptions:
    values: dict[str, Any] = {}
    for name, (accepted, valid) in _ADAPTIVE_REALS.items():
        if options.get(name) is not None:
            values[name] = check.real(name, options[name], accepted, valid)
    if "max_num_steps" in options:
        steps = check.real("max_num_steps", options["max_num_steps"], "a positive integer", lambda x: x >= 1)
        values["max_num_steps"] = 2**31 - 1 if math.isinf(steps) else int(steps)
    if "dtype" in options:
        dtype = options["dtype"]
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise TypeError(f"{check.name('dtype')} must be a floating-point torch.dtype, got {dtype!r}")
        values["dtype"] = dtype
    if options.get("norm") is not None:
        values["norm"] = check.callable("norm", options["norm"], "a callable")
    for name in ("step_t", "jump_t"):
        if options.get(name) is not None:
            values[name] = _times(name, options[name], direction, check)
    made = AdaptiveOptions(**values)
    if made.min_step > made.max_step:
        raise ValueError(
            f"{check.name('min_step')} must not exceed {check.name('max_step')}, got {made.min_step!r} and "
            f"{made.max_step!r}"
        )
    both = (*made.step_t, *made.jump_t)
    if len(set(both)) != len(both):
        raise ValueError(
            f"{check.name('step_t')} and {check.name('jump_t')} must not have any repeated elements between "
            f"them, got {options.get('step_t')!r} and {options.get('jump_t')!r}"
        )
    return made


def _times(option: str, value: Any, direction: float, check: _Check) -> tuple[float, ...]:
    accepted = "a one-dimensional tensor or a sequence of finite times"
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().tolist()
        times = [direction * float(x) for x in value] if isinstance(value, Iterable) else None
    except (TypeError, ValueError):
        times = None
    if times is None:
        raise TypeError(f"{check.name(option)} must be {accepted}, got {value!r}")
    if not all(map(math.isfinite, times)):
        raise ValueError(f"{check.name(option)} must be {accepted}, got {value!r}")
    return tuple(sorted(times))


def _fixed(options: dict[str, Any], direction: float, check: _Check) -> FixedOptions:
    values: dict[str, Any] = {}
    step_size = options.get("step_size")
    if step_size is not None:
        number = check.real("step_size", step_size, "a positive finite number", lambda x: 0 < x < math.inf)
        differentiable = isinstance(step_size, torch.Tensor) and step_size.requires_grad
        values["step_size"] = step_size.reshape(()) if differentiable else number
    if options.get("grid_constructor") is not None:
        if step_size is not None:
            raise ValueError(
                f"{check.name('step_size')} and {check.name('grid_constructor')} are mutually exclusive, "
                "both were given"
            )
        construct = check.callable(
            "grid_constructor",
            options["grid_constructor"],
            "a callable of (func, y0, t) that returns the grid",
        )
        values["grid_constructor"] = construct if direction > 0 else _reversed_grid(construct)
    if "interp" in options:
        if options["interp"] not in _INTERPOLATIONS:
            raise ValueError(f"{check.name('interp')} must be 'linear' or 'cubic', got {options['interp']!r}")
        values["interp"] = options["interp"]
    if "perturb" in options:
        values["perturb"] = bool(options["perturb"])
    if options.get("norm") is not None:
        values["norm"] = check.callable("norm", options["norm"], "a callable")
    return FixedOptions(**values)


def _reversed_grid(construct: GridConstructor) -> GridConstructor:
    def grid(func: Any, y0: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return -construct(func, y0, -t)

    return grid
