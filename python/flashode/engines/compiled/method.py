"""Handing a method and the settings of its steps to the compiled module."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

from torch import Tensor

from flashode.methods import Method, Tableau
from flashode.methods.control import MOST_STEPS_TO_EVENT
from flashode.methods.interpolants import Interpolant
from flashode.problem import AdaptiveOptions, FixedOptions, ImplicitOptions, Options, interpolant_of

_NO_OPTIONS = AdaptiveOptions(max_num_steps=MOST_STEPS_TO_EVENT)


def compiled_method(
    method_type: Any, method: Method, rtol: float | Tensor, atol: float | Tensor, options: Options
) -> Any:
    """The compiled module's form of a method, made by its ``Method``.

    Of tolerances that differ between elements it has the least; a norm of the user's is no part of it.
    """
    assert isinstance(method, Tableau)
    interpolant = interpolant_of(method, options)
    assert interpolant is not None
    relative = float(rtol.min() if isinstance(rtol, Tensor) else rtol)
    absolute = float(atol.min() if isinstance(atol, Tensor) else atol)
    iterations = options.max_iters if isinstance(options, ImplicitOptions) else method.newton.max_iterations
    perturb = isinstance(options, FixedOptions) and options.perturb
    steps = replace(options, norm=None) if isinstance(options, AdaptiveOptions) else _NO_OPTIONS
    # Many times are not worth keeping.
    build = _kept if len(steps.step_t) + len(steps.jump_t) <= _MOST_TIMES else _build
    return build(method_type, method, interpolant, relative, absolute, steps, perturb, iterations)


def _build(
    method_type: Any,
    tableau: Tableau,
    interpolant: Interpolant,
    rtol: float,
    atol: float,
    options: AdaptiveOptions,
    perturb: bool,
    max_iterations: int,
) -> Any:
    floats = tableau.floats()
    return method_type(
        order=tableau.order,
        control=tableau.control,
        equations=tableau.equations,
        carried=tableau.carried,
        fsal=tableau.fsal,
        a=floats.a,
        b=floats.b,
        c=floats.c,
        b_error=floats.b_error,
        b_mid=floats.b_mid,
        interpolant=interpolant.name,
        interpolant_weights=interpolant.weights(),
        rtol=rtol,
        atol=atol,
        first_step=options.first_step or 0.0,
        automatic_first_step=asdict(tableau.first_step),
        min_step=options.min_step,
        max_step=options.max_step,
        safety=options.safety,
        ifactor=options.ifactor,
        dfactor=options.dfactor,
        max_num_steps=options.max_num_steps,
        newton=asdict(tableau.newton) | {"max_iterations": max_iterations},
        perturb=perturb,
        step_t=options.step_t,
        jump_t=options.jump_t,
    )


# Building a method costs more than a small solve; programs use few of them. Only numbers are kept here,
# nothing that holds on to what a user made, and not many of them at a time.
_kept = lru_cache(maxsize=256)(_build)
_MOST_TIMES = 1024
