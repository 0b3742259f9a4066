"""An integrator with the tensors and functions that it was given; what it is without them is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from flashode import notices
from flashode.dispatch import tracer
from flashode.memory import has_memory
from flashode.methods import Method
from flashode.problem.options import MOST_TIMES_KEPT, FixedOptions, Options, make_options, may_be_kept
from flashode.problem.settings import Integrator
from flashode.problem.tolerances import CheckedTolerance, scalar_tolerance

# (state or tuple of states) -> 0-d tensor or float
Norm = Callable[[Any], Any]
# (func, y0, t) -> 1-D tensor from t[0] to t[-1], in the caller's own time
GridConstructor = Callable[[Any, Tensor, Tensor], Tensor]

_PLAIN = frozenset({float, int, bool, str, type(None), torch.dtype})
_NUMBERS = frozenset({float, int})
_FUNCTIONS = ("norm", "grid_constructor")
_TIMES = ("step_t", "jump_t")
# (name, type, value) of each option: some take True, and no number.
_Items = tuple[tuple[Any, type, Any], ...]


@dataclass(frozen=True, eq=False)
class Integration:
    """How the equations of one solve are integrated.

    Attributes:
        integrator: All of it that is no tensor and no function.
        rtol: A float, or a tensor that broadcasts against the state.
        atol: Likewise.
        norm: What the user measures errors with, or None.
        grid_constructor: Makes the grid of a fixed-step method, in solver time; or None.
        differentiable_step: The option ``step_size`` as a tensor that requires grad, 0-d; or None.
    """

    integrator: Integrator
    rtol: float | Tensor
    atol: float | Tensor
    norm: Norm | None = None
    grid_constructor: GridConstructor | None = None
    differentiable_step: Tensor | None = None

    @property
    def method(self) -> Method:
        """The method."""
        return self.integrator.method

    @property
    def options(self) -> Options:
        """Its options, less their tensors and functions."""
        return self.integrator.options

    def with_integrator(self, **changes: Any) -> Integration:
        """The same with other attributes of the integrator."""
        return replace(self, integrator=replace(self.integrator, **changes))

    @property
    def step_size(self) -> float | Tensor | None:
        """The distance of grid points that the user asked for, of a fixed-step method."""
        options = self.integrator.options
        number = options.step_size if isinstance(options, FixedOptions) else None
        return number if self.differentiable_step is None else self.differentiable_step


def plain_integration(
    method: Method, rtol: Any, atol: Any, options: Mapping[str, Any] | None, direction: float
) -> Integration | None:
    """How equations are integrated where only numbers and words say so, as an earlier solve found it.

    It warns of options that the method does not know. None where tensors or functions have a say.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option or a tolerance has an impossible value.
    """
    items = _plain_items(options)
    if items is None or type(rtol) not in _NUMBERS or type(atol) not in _NUMBERS:
        return None
    if items and any(value is _some_function for _, _, value in items):
        return None
    integration, warnings = _plain(method, float(rtol), float(atol), items, direction)
    for message in warnings:
        notices.warn(message)
    return integration


def check_options(
    method: Method,
    options: Mapping[str, Any] | None,
    direction: float,
    argument: str = "options",
    *,
    warn: bool = True,
) -> Options:
    """Check options, and warn of those that the method does not know.

    Args:
        method: The method they are for.
        options: What the user gave.
        direction: Solver time is this times the user's.
        argument: What the user calls them, in messages.
        warn: Whether to warn.

    Raises:
        TypeError: If an option has the wrong type.
        ValueError: If an option has an impossible value.
    """
    items = _plain_items(options)
    if items is None:
        checked, warnings = make_options(method, options, direction, argument)
    else:
        checked, warnings = _checked(method, items, direction, argument)
    if warn:
        for message in warnings:
            notices.warn(message)
    return checked


def make_integration(
    method: Method,
    options: Options,
    rtol: CheckedTolerance,
    atol: CheckedTolerance,
    given: Mapping[str, Any] | None,
    direction: float,
) -> Integration:
    """Put together what was checked, and the tensors and functions among the options.

    Args:
        method: The method.
        options: Its checked options.
        rtol: The relative tolerance.
        atol: The absolute tolerance.
        given: The options as the user gave them.
        direction: Solver time is this times the user's.
    """
    make = _integrator if may_be_kept(options) else Integrator
    integrator = make(method, options, rtol.least, atol.least)
    if not given:
        return Integration(integrator, rtol.value, atol.value)
    step = given.get("step_size")
    norm, construct = (given[name] if getattr(options, name, False) else None for name in _FUNCTIONS)
    return Integration(
        integrator,
        rtol.value,
        atol.value,
        norm,
        construct if construct is None or direction > 0 else _reversed_grid(construct),
        step.reshape(()).clone() if isinstance(step, Tensor) and step.requires_grad else None,
    )


_integrator = lru_cache(maxsize=256)(Integrator)


@lru_cache(maxsize=256)
def _plain(
    method: Method, rtol: float, atol: float, items: _Items, direction: float
) -> tuple[Integration, tuple[str, ...]]:
    options, warnings = _checked(method, items, direction, "options")
    relative, absolute = scalar_tolerance("rtol", rtol), scalar_tolerance("atol", atol)
    return make_integration(method, options, relative, absolute, None, direction), warnings


@lru_cache(maxsize=256)
def _checked(
    method: Method, items: _Items, direction: float, argument: str
) -> tuple[Options, tuple[str, ...]]:
    return make_options(method, {name: value for name, _, value in items}, direction, argument)


def _plain_items(options: Mapping[str, Any] | None) -> _Items | None:
    """The options as words and numbers, a function of ours for each of the user's; None if they are more.

    Only such are kept: of others nobody knows what they become.
    """
    if options is None:
        return ()
    if type(options) is not dict:
        return None
    items = []
    for name, value in options.items():
        plain = value
        if type(value) not in _PLAIN:
            if name in _FUNCTIONS and callable(value):
                plain = _some_function
            elif name not in _TIMES or (plain := _plain_times(value)) is None:
                return None
        items.append((name, type(plain), plain))
    return tuple(items)


def _plain_times(times: Any) -> tuple[float, ...] | None:
    if type(times) is Tensor and times.is_cpu and times.layout is torch.strided and times.dim() == 1:
        few = len(times) <= MOST_TIMES_KEPT and has_memory(times) and tracer() is None
        return tuple(times.tolist()) if few else None
    few = type(times) in (list, tuple) and len(times) <= MOST_TIMES_KEPT
    return tuple(times) if few and _NUMBERS.issuperset(map(type, times)) else None


def _some_function(*_: object) -> None:
    raise AssertionError("this stands for a function of the user's")


def _reversed_grid(construct: GridConstructor) -> GridConstructor:
    def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        return -construct(func, y0, -t)

    return grid
