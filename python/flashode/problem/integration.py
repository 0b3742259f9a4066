"""An integrator with the user's tensors and functions; without them it is remembered for later solves."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from flashode import notices
from flashode.dispatch import tracer
from flashode.memory import is_plain
from flashode.methods import Method
from flashode.problem.options import (
    MOST_TIMES_KEPT,
    AdaptiveOptions,
    FixedOptions,
    Options,
    make_options,
    may_be_remembered,
)
from flashode.problem.settings import Integrator
from flashode.problem.tolerances import CheckedTolerance, plain_tolerance
from flashode.state import Structure

# (state or tuple of states) -> 0-d tensor or float
Norm = Callable[[Any], Any]
# (func, y0, t) -> 1-D tensor from t[0] to t[-1], in the caller's own time
GridConstructor = Callable[[Any, Tensor, Tensor], Tensor]

_PLAIN = frozenset({float, int, bool, str, type(None), torch.dtype})
_NUMBERS = frozenset({float, int})
_FUNCTIONS = ("norm", "grid_constructor")
_TIMES = ("step_t", "jump_t")


@dataclass(frozen=True, eq=False)
class Integration:
    """How the equations of one solve are integrated.

    Attributes:
        integrator: All of it that is no tensor and no function.
        rtol: A float, or a tensor that broadcasts against the state.
        atol: Likewise.
        rtol_by_element: Of a tensor its elements as the state's lie in memory, in its real dtype; else None.
        atol_by_element: Likewise.
        norm: What the user measures errors with, or None.
        grid_constructor: Makes the grid of a fixed-step method, in solver time; or None.
        differentiable_step: The option ``step_size`` as a tensor that requires grad, 0-d; or None.
    """

    integrator: Integrator
    rtol: float | Tensor
    atol: float | Tensor
    rtol_by_element: Tensor | None = None
    atol_by_element: Tensor | None = None
    norm: Norm | None = None
    grid_constructor: GridConstructor | None = None
    differentiable_step: Tensor | None = None

    # Both are asked for many times a solve.
    @cached_property
    def method(self) -> Method:
        """The method."""
        return self.integrator.method

    @cached_property
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


# (argument, what the user gave, the precision of time) -> the tolerance, checked
CheckTolerance = Callable[[str, Any, torch.dtype], CheckedTolerance]


def make_integration(
    method: Method,
    rtol: Any,
    atol: Any,
    options: Mapping[str, Any] | None,
    direction: float,
    y0: Tensor,
    structure: Structure,
    check_tolerance: CheckTolerance,
    prefix: str = "",
    *,
    warn: bool = True,
) -> Integration:
    """Check options and tolerances, or take the result of an earlier solve's check of the same ones.

    Args:
        method: The method.
        rtol: What the user gave as relative tolerance.
        atol: And as absolute tolerance.
        options: And as options.
        direction: Solver time is this times the user's.
        y0: The state.
        structure: What it looks like to the function.
        check_tolerance: Checks a tolerance; numbers mean to it what they mean to others.
        prefix: Of the names of these arguments.
        warn: Whether to warn of options that the method does not know.

    Raises:
        TypeError: If an option or a tolerance has the wrong type.
        ValueError: If one has an impossible value.
    """
    key = _key(method, rtol, atol, options, direction, y0, structure, prefix)
    entry = None if key is None else _memo.get(key)
    if entry is None:
        checked, warnings = make_options(method, options, direction, f"{prefix}options")
        dtype = time_dtype(checked, y0)
        relative, absolute = check_tolerance("rtol", rtol, dtype), check_tolerance("atol", atol, dtype)
        integrator = Integrator(method, checked, relative.least, absolute.least)
        by_element = relative.by_element, absolute.by_element
        integration = Integration(integrator, relative.value, absolute.value, *by_element)
        entry = integration, warnings
        if key is not None and may_be_remembered(checked):
            if len(_memo) >= _MOST_ENTRIES:
                _memo.clear()
            _memo[key] = entry
    integration, warnings = entry
    if warn:
        for message in warnings:
            notices.warn(message)
    return _with_functions(integration, options, direction) if options else integration


def _with_functions(integration: Integration, values: Mapping[str, Any], direction: float) -> Integration:
    """The integration with the functions and the tensor among the options, if there are any."""
    options = integration.options
    norm = values["norm"] if options.norm else None
    construct = step = None
    if isinstance(options, FixedOptions):
        construct = values["grid_constructor"] if options.grid_constructor else None
        step = values.get("step_size")
    differentiable = isinstance(step, Tensor) and step.requires_grad
    if norm is None and construct is None and not differentiable:
        return integration
    return replace(
        integration,
        norm=norm,
        grid_constructor=construct if construct is None or direction > 0 else _reversed_grid(construct),
        differentiable_step=step.reshape(()).clone() if differentiable and step is not None else None,
    )


def time_dtype(options: Options, y0: Tensor) -> torch.dtype:
    """The precision of time in an adaptive solve, and of tensor tolerances."""
    chosen = options.dtype if isinstance(options, AdaptiveOptions) else torch.float64
    return torch.promote_types(chosen, y0.dtype.to_real())


# Checking takes longer than a small solve. Bounded, and without any object of the user's.
_MOST_ENTRIES = 128
_memo: dict[Hashable, tuple[Integration, tuple[str, ...]]] = {}


def _key(
    method: Method,
    rtol: Any,
    atol: Any,
    options: Mapping[str, Any] | None,
    direction: float,
    y0: Tensor,
    structure: Structure,
    prefix: str,
) -> Hashable | None:
    """What the check depends on, as a key; None where that cannot be told from the arguments."""
    items = () if options is None else _plain_items(options)
    if items is None:
        return None
    if type(rtol) in _NUMBERS and type(atol) in _NUMBERS:
        return method, rtol, atol, items, direction, y0.dtype, prefix
    if prefix or tracer() is not None:
        return None
    relative, absolute = plain_tolerance(rtol), plain_tolerance(atol)
    if relative is None or absolute is None:
        return None
    # Tensor tolerances are copied to the state's device.
    return method, relative, absolute, items, direction, y0.dtype, y0.device, structure


def _plain_items(options: Mapping[str, Any]) -> tuple[tuple[Any, ...], ...] | None:
    """The name, type and value of each option, words, numbers and times; of functions only that they are."""
    if type(options) is not dict:
        return None
    items = []
    for name, value in options.items():
        plain = value
        if type(value) not in _PLAIN:
            if name in _FUNCTIONS and callable(value):
                plain = None
            elif name not in _TIMES or (plain := _plain_times(value)) is None:
                return None
        # Types too: some options take True, and no number.
        items.append((name, type(value) if plain is value else _FUNCTIONS, plain))
    return tuple(items)


def _plain_times(times: Any) -> tuple[float, ...] | None:
    if is_plain(times) and times.ndim == 1 and not times.is_complex() and tracer() is None:
        return tuple(times.tolist()) if times.numel() <= MOST_TIMES_KEPT else None
    few = type(times) in (list, tuple) and len(times) <= MOST_TIMES_KEPT
    return tuple(times) if few and _NUMBERS.issuperset(map(type, times)) else None


def _reversed_grid(construct: GridConstructor) -> GridConstructor:
    def grid(func: Any, y0: Tensor, t: Tensor) -> Tensor:
        return -construct(func, y0, -t)

    return grid
