"""Handing a method and the settings of its steps to the compiled module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TypeVar

from flashode.methods import Tableau
from flashode.methods.control import MOST_STEPS_TO_EVENT
from flashode.problem import AdaptiveOptions, FixedOptions, ImplicitOptions, Integrator

Method = TypeVar("Method")

_NO_OPTIONS = AdaptiveOptions(max_num_steps=MOST_STEPS_TO_EVENT)


def translate(integrator: Integrator, method_type: Callable[..., Method]) -> Method:
    """The method and the settings of its steps as an object of the compiled module.

    Args:
        integrator: The method and its settings.
        method_type: The module's ``Method``.
    """
    tableau, options, interpolant = integrator.method, integrator.options, integrator.interpolant
    assert isinstance(tableau, Tableau) and interpolant is not None
    steps = options if isinstance(options, AdaptiveOptions) else _NO_OPTIONS
    newton = asdict(tableau.newton)
    if isinstance(options, ImplicitOptions):
        newton["max_iterations"] = options.max_iters
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
        rtol=integrator.rtol,
        atol=integrator.atol,
        first_step=steps.first_step or 0.0,
        automatic_first_step=asdict(tableau.first_step),
        min_step=steps.min_step,
        max_step=steps.max_step,
        safety=steps.safety,
        ifactor=steps.ifactor,
        dfactor=steps.dfactor,
        max_num_steps=steps.max_num_steps,
        newton=newton,
        perturb=isinstance(options, FixedOptions) and options.perturb,
        step_t=steps.step_t,
        jump_t=steps.jump_t,
    )
