"""Handing a method and the settings of its steps to the compiled module."""

from __future__ import annotations

from typing import Any

from flashode.engines.eager.fixed import MOST_STEPS_TO_EVENT
from flashode.methods import Tableau
from flashode.problem import AdaptiveOptions, FixedOptions, ImplicitOptions, Integrator

_NO_OPTIONS = AdaptiveOptions(max_num_steps=MOST_STEPS_TO_EVENT)


def translate(integrator: Integrator, method_type: Any) -> Any:
    """The compiled module's form of a method with its settings, made by its ``Method``."""
    tableau, options = integrator.method, integrator.options
    assert isinstance(tableau, Tableau)
    steps = options if isinstance(options, AdaptiveOptions) else _NO_OPTIONS
    fixed = options if isinstance(options, FixedOptions) else FixedOptions()
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
        rtol=integrator.rtol,
        atol=integrator.atol,
        first_step=steps.first_step or 0.0,
        min_step=steps.min_step,
        max_step=steps.max_step,
        safety=steps.safety,
        ifactor=steps.ifactor,
        dfactor=steps.dfactor,
        max_num_steps=steps.max_num_steps,
        perturb=fixed.perturb,
        step_t=steps.step_t,
        jump_t=steps.jump_t,
        cubic=fixed.interp == "cubic",
        max_iterations=fixed.max_iters if isinstance(fixed, ImplicitOptions) else 0,
    )
