"""The options of adaptive and fixed-step methods, checked and in solver time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import torch

from flashode.methods import Adams, Method, SciPy
from flashode.methods.adams import LEAST_SLOPES, MAX_ITERATIONS, MAX_ORDER
from flashode.methods.control import CONTROLLER
from flashode.methods.interpolants import LINEAR, ON_GRID
from flashode.methods.newton import NEWTON
from flashode.problem.checks import check_choice, check_dense
from flashode.problem.switches import as_bool
from flashode.wording import shown

# What the compiled module counts to.
_MOST_STEPS = 2**31 - 1


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
        norm: Whether a function of the user's measures the scaled error, in place of the root mean square
            (the largest one of a tuple state's components).
        step_t: Increasing solver times to step on.
        jump_t: Increasing solver times to step on and to evaluate the field afresh just after.
    """

    first_step: float | None = None
    min_step: float = 0.0
    max_step: float = math.inf
    safety: float = CONTROLLER.safety
    ifactor: float = CONTROLLER.ifactor
    dfactor: float = CONTROLLER.dfactor
    max_num_steps: int = _MOST_STEPS
    dtype: torch.dtype = torch.float64
    norm: bool = False
    step_t: tuple[float, ...] = ()
    jump_t: tuple[float, ...] = ()


@dataclass(frozen=True)
class FixedOptions:
    """Options of a method that steps on a given grid, by default the output times.

    Attributes:
        step_size: Distance of the grid points.
        grid_constructor: Whether a function of the user's makes the grid instead.
        interp: Between grid points, ``"linear"`` or ``"cubic"`` (Hermite, one evaluation more for each output
            time).
        perturb: Evaluate a step's first stage just after its start and its last just before its end.
        norm: Whether there is one of a state, used only by the default norm of an adaptive adjoint solve.
    """

    step_size: float | None = None
    grid_constructor: bool = False
    interp: str = LINEAR.name
    perturb: bool = False
    norm: bool = False

    @property
    def on_outputs(self) -> bool:
        """Whether the grid is the output times."""
        return self.step_size is None and not self.grid_constructor


@dataclass(frozen=True)
class ImplicitOptions(FixedOptions):
    """Options of a method whose stages solve equations.

    Attributes:
        max_iters: Most iterations of Newton's method for one step.
    """

    max_iters: int = NEWTON.max_iterations


@dataclass(frozen=True)
class AdamsOptions(FixedOptions):
    """Options of an Adams method.

    Attributes:
        max_iters: Most iterations of the implicit formula for one step.
        max_order: The order grows up to this.
    """

    max_iters: int = MAX_ITERATIONS
    max_order: int = MAX_ORDER


@dataclass(frozen=True)
class SciPyOptions:
    """Options of SciPy's solvers.

    Attributes:
        solver: The ``method`` of ``scipy.integrate.solve_ivp``.
        min_step: Smallest step, which only ``"LSODA"`` knows, or None.
        max_step: No step is larger.
        norm: Whether there is one of a state, used only by the default norm of an adaptive adjoint solve.
    """

    solver: str = "LSODA"
    min_step: float | None = None
    max_step: float = math.inf
    norm: bool = False


Options = AdaptiveOptions | FixedOptions | SciPyOptions
# Options with more prescribed times are not kept for later solves: they would only take memory.
MOST_TIMES_KEPT = 1024


def may_be_remembered(options: Options) -> bool:
    """Whether options are small enough to be kept for later solves."""
    if not isinstance(options, AdaptiveOptions):
        return True
    return len(options.step_t) + len(options.jump_t) <= MOST_TIMES_KEPT


_DEFAULTS: dict[type[Options], Options] = {
    kind: kind() for kind in (AdaptiveOptions, FixedOptions, ImplicitOptions, AdamsOptions, SciPyOptions)
}
OPTION_NAMES = frozenset(each.name for kind in _DEFAULTS for each in fields(kind))
_SCIPY_SOLVERS = ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA")


def make_options(
    method: Method,
    options: Mapping[str, Any] | None,
    direction: float,
    argument: str = "options",
) -> tuple[Options, tuple[str, ...]]:
    """Check a dict of options and turn its times into solver time.

    Args:
        method: The method they are for.
        options: What the user gave.
        direction: Solver time is this times the user's.
        argument: The dict's name in messages.

    Returns:
        The options, and what to warn of.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option has an impossible value.
    """
    kind = _kind(method)
    if options is None:
        return _DEFAULTS[kind], ()
    if not isinstance(options, Mapping):
        raise TypeError(f"{argument} must be a dict or None, got {shown(options)}")
    names = frozenset(each.name for each in fields(kind))
    unknown = [name for name in options if name not in names]
    check = _Check(argument)
    if unknown:
        check.warnings.append(
            f"{argument}: {method.name} does not know {shown(unknown)[1:-1]}; it takes "
            f"{', '.join(sorted(names))}"
        )
    known = {name: value for name, value in options.items() if name in names}
    checked: Options
    if issubclass(kind, FixedOptions):
        checked = _fixed(kind, known, check)
        if isinstance(checked, AdamsOptions) and checked.max_order <= LEAST_SLOPES:
            check.warnings.append(
                f"{check.name('max_order')} is below {LEAST_SLOPES + 1}: {method.name} takes its steps by rk4"
            )
    else:
        checked = _scipy(known, check) if kind is SciPyOptions else _adaptive(known, direction, check)
    return checked, tuple(check.warnings)


def _kind(method: Method) -> type[Options]:
    if isinstance(method, Adams):
        return AdamsOptions
    if isinstance(method, SciPy):
        return SciPyOptions
    if method.control == "error":
        return AdaptiveOptions
    return FixedOptions if method.equations == "none" else ImplicitOptions


@dataclass(frozen=True)
class _Check:
    argument: str
    warnings: list[str] = field(default_factory=list)

    def name(self, option: str) -> str:
        return f"{self.argument}[{option!r}]"

    def real(self, option: str, value: Any, accepted: str, valid: Callable[[float], bool]) -> float:
        number = self._number(option, value, accepted)
        if not valid(number):
            raise ValueError(f"{self.name(option)} must be {accepted}, got {shown(value)}")
        return number

    def integer(self, option: str, value: Any, accepted: str, least: int, most: int) -> int:
        number = self._number(option, value, accepted)
        if not (number.is_integer() and least <= number <= most):
            raise ValueError(f"{self.name(option)} must be {accepted}, got {shown(value)}")
        return int(number)

    def _number(self, option: str, value: Any, accepted: str) -> float:
        if isinstance(value, torch.Tensor):
            check_dense(self.name(option), value)
        try:
            return float(value.detach() if isinstance(value, torch.Tensor) else value)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"{self.name(option)} must be {accepted}, got {shown(value)}") from None

    def has_function(self, option: str, options: Mapping[str, Any], accepted: str = "a callable") -> bool:
        value = options.get(option)
        if value is not None and not callable(value):
            raise TypeError(f"{self.name(option)} must be {accepted}, got {shown(value)}")
        return value is not None


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
        accepted, valid = "a positive integer", lambda x: x >= 1 and (math.isinf(x) or x.is_integer())
        steps = check.real("max_num_steps", options["max_num_steps"], accepted, valid)
        values["max_num_steps"] = int(min(steps, _MOST_STEPS))
    if "dtype" in options:
        dtype = options["dtype"]
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise TypeError(f"{check.name('dtype')} must be a floating-point torch.dtype, got {shown(dtype)}")
        values["dtype"] = dtype
    values["norm"] = check.has_function("norm", options)
    for name in ("step_t", "jump_t"):
        if options.get(name) is not None:
            values[name] = _times(name, options[name], direction, check)
    checked = AdaptiveOptions(**values)
    if checked.min_step > checked.max_step:
        raise ValueError(
            f"{check.name('min_step')} must not exceed {check.name('max_step')}, got "
            f"{checked.min_step!r} and {checked.max_step!r}"
        )
    both = sorted((*checked.step_t, *checked.jump_t))
    for x, y in pairwise(both):
        if x == y:
            raise ValueError(
                f"{check.name('step_t')} and {check.name('jump_t')} must not have any repeated elements "
                f"between them, got {direction * x} twice"
            )
    return checked


def _times(option: str, value: Any, direction: float, check: _Check) -> tuple[float, ...]:
    accepted = "a one-dimensional tensor or a sequence of finite times"
    if isinstance(value, torch.Tensor):
        check_dense(check.name(option), value)
    if isinstance(value, torch.Tensor) and value.dim() != 1:
        raise TypeError(f"{check.name(option)} must be {accepted}, got shape {tuple(value.shape)}")
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().clone().tolist()
        times = [direction * float(x) for x in value] if isinstance(value, Iterable) else None
    except (TypeError, ValueError):
        times = None
    if times is None:
        raise TypeError(f"{check.name(option)} must be {accepted}, got {shown(value)}")
    for i, x in enumerate(times):
        if not math.isfinite(x):
            name = check.name(option)
            raise ValueError(f"{name} must be {accepted}, got {name}[{i}] = {direction * x}")
    return tuple(sorted(times))


def _scipy(options: dict[str, Any], check: _Check) -> SciPyOptions:
    values: dict[str, Any] = {}
    if "solver" in options:
        solver = options["solver"]
        check_choice(check.name("solver"), solver, _SCIPY_SOLVERS)
        values["solver"] = solver
    for name in ("min_step", "max_step"):
        if options.get(name) is not None:
            accepted, valid = _ADAPTIVE_REALS[name]
            values[name] = check.real(name, options[name], accepted, valid)
    values["norm"] = check.has_function("norm", options)
    checked = SciPyOptions(**values)
    if checked.min_step is None or checked.solver == "LSODA":
        return checked
    check.warnings.append(
        f"{check.name('min_step')} is left out: of SciPy's solvers only 'LSODA' takes it, and "
        f"{check.name('solver')} is {checked.solver!r}"
    )
    return replace(checked, min_step=None)


def _fixed(kind: type[FixedOptions], options: dict[str, Any], check: _Check) -> FixedOptions:
    values: dict[str, Any] = {}
    step_size = options.get("step_size")
    if step_size is not None:
        positive = "a positive finite number"
        values["step_size"] = check.real("step_size", step_size, positive, lambda x: 0 < x < math.inf)
    makes_grid = "a callable of (func, y0, t) that returns the grid"
    values["grid_constructor"] = check.has_function("grid_constructor", options, makes_grid)
    if values["grid_constructor"] and step_size is not None:
        raise ValueError(
            f"{check.name('step_size')} and {check.name('grid_constructor')} are mutually exclusive, "
            "both were given"
        )
    if "interp" in options:
        check_choice(check.name("interp"), options["interp"], tuple(ON_GRID))
        values["interp"] = options["interp"]
    if options.get("perturb") is not None:
        values["perturb"] = as_bool(check.name("perturb"), options["perturb"])
    values["norm"] = check.has_function("norm", options)
    if options.get("max_iters") is not None:
        accepted = "a positive integer"
        values["max_iters"] = check.integer("max_iters", options["max_iters"], accepted, 1, _MOST_STEPS)
    if options.get("max_order") is not None:
        accepted = f"an integer from 1 to {MAX_ORDER}"
        values["max_order"] = check.integer("max_order", options["max_order"], accepted, 1, MAX_ORDER)
    return kind(**values)
