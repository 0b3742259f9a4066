"""Handing a method and the settings of its steps to the compiled module."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from torch import Tensor

from flashode.engines.eager.fixed import MOST_STEPS_TO_EVENT
from flashode.methods import Method, Tableau
from flashode.problem import AdaptiveOptions, FixedOptions, ImplicitOptions, Options

_NO_OPTIONS = AdaptiveOptions(max_num_steps=MOST_STEPS_TO_EVENT)


def compiled_method(
    method_type: Any, method: Method, rtol: float | Tensor, atol: float | Tensor, options: Options
) -> Any:
    """The compiled module's form of a method, made by its ``Method``.

    Of tolerances that differ between elements it has the least; a norm of the user's is no part of it.
    """
    assert isinstance(method, Tableau)
    relative = float(rtol.min() if isinstance(rtol, Tensor) else rtol)
    absolute = float(atol.min() if isinstance(atol, Tensor) else atol)
    if isinstance(options, AdaptiveOptions):
        if options.norm is not None:
            options = replace(options, norm=None)
        return _made(method_type, method, relative, absolute, options, False, False, 0)
    assert isinstance(options, FixedOptions)
    cubic = options.interp == "cubic"
    iterations = options.max_iters if isinstance(options, ImplicitOptions) else 0
    return _made(method_type, method, relative, absolute, _NO_OPTIONS, options.perturb, cubic, iterations)


def _build(
    method_type: Any,
    tableau: Tableau,
    rtol: float,
    atol: float,
    options: AdaptiveOptions,
    perturb: bool,
    cubic: bool,
    max_iterations: int,
) -> Any:
    floats = tableau.floats()
    return method_type(
        order=tableau.order,
        adaptive=tableau.adaptive,
        fsal=tableau.adaptive and tableau.fsal,
        a=floats.a,
        b=floats.b,
        c=floats.c,
        b_error=floats.b_error,
        b_mid=floats.b_mid,
        rtol=rtol,
        atol=atol,
        first_step=options.first_step or 0.0,
        min_step=options.min_step,
        max_step=options.max_step,
        safety=options.safety,
        ifactor=options.ifactor,
        dfactor=options.dfactor,
        max_num_steps=options.max_num_steps,
        perturb=perturb,
        step_t=options.step_t,
        jump_t=options.jump_t,
        cubic=cubic,
        max_iterations=max_iterations,
    )


# Building a method costs more than a small solve; programs use few of them. Only numbers are kept here,
# nothing that holds on to what a user made, and not many of them at a time.
_kept = lru_cache(maxsize=256)(_build)
_MOST_TIMES = 1024


def _made(
    method_type: Any, tableau: Tableau, rtol: float, atol: float, options: AdaptiveOptions, *others: Any
) -> Any:
    few = len(options.step_t) + len(options.jump_t) <= _MOST_TIMES
    return (_kept if few else _build)(method_type, tableau, rtol, atol, options, *others)
