"""Which problems compiled engines take, as far as that does not depend on the function."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from flashode.declined import Declined, Reason
from flashode.methods import Method, SciPy, Tableau
from flashode.problem import (
    AdaptiveOptions,
    Continuous,
    FixedOptions,
    Gradient,
    Problem,
    may_be_remembered,
)
from flashode.problem.options import Options
from flashode.state import Structure

DTYPES = (torch.float32, torch.float64)


def refusal(problem: Problem, gradient: Gradient, device: str) -> Declined | None:
    """Why an engine for that device does not run a problem, for any function; None if it may."""
    adjoint = gradient if isinstance(gradient, Continuous) else None
    foreign = _foreign(problem.method)
    if foreign is None and adjoint is not None:
        foreign = _foreign(adjoint.integration.method)
    if foreign is not None:
        return Declined(foreign, expected=True)
    settings = problem.settings
    reasons = _state_obstacles(settings.structure, settings.dtype, settings.device, device)
    if problem.callbacks:
        remedy = "ask for the times to look at (t, or odeint_dense) in place of callbacks"
        reasons += (Reason("the function has callbacks", remedy),)
    if problem.integration.differentiable_step is not None and problem.event is not None:
        what = "the option step_size requires grad, and steps are taken until an event"
        reasons += (Reason(what, "give it as a number"),)
    reasons += _time_obstacles("option", problem.options)
    if adjoint is not None:
        reasons += _adjoint_obstacles(problem, adjoint)
    return Declined(*reasons) if reasons else None


def is_small(problem: Problem, gradient: Gradient) -> bool:
    """Whether the settings of a solve and of its adjoint are small enough to be remembered for later ones."""
    if not may_be_remembered(problem.options):
        return False
    return not isinstance(gradient, Continuous) or may_be_remembered(gradient.integration.options)


@lru_cache(maxsize=256)
def _state_obstacles(
    structure: Structure, dtype: torch.dtype, state_device: torch.device, device: str
) -> tuple[Reason, ...]:
    reasons = []
    if dtype not in DTYPES:
        what = f"its state is {dtype}, not float32 or float64"
        reasons.append(Reason(what, "give y0.float() or y0.double()"))
    if state_device.type != device:
        where = "the CPU" if device == "cpu" else f"a {device.upper()} device"
        what = f"its state is on {state_device}, not on {where}"
        reasons.append(Reason(what, f"give y0.{device}()"))
    if not any(shape.numel() for shape in structure.shapes):
        reasons.append(Reason("its state is empty", "give it at least one number"))
    return tuple(reasons)


def _time_obstacles(name: str, options: Options) -> tuple[Reason, ...]:
    if not isinstance(options, AdaptiveOptions) or options.dtype == torch.float64:
        return ()
    return (Reason(f"the {name} dtype is {options.dtype}, not torch.float64", "leave dtype out"),)


def _foreign(method: Method) -> str | None:
    """Why no compiled engine runs the method, or None."""
    if isinstance(method, SciPy):
        return "SciPy runs its solvers itself"
    if not isinstance(method, Tableau):
        return "its method is no Runge-Kutta method"
    chooses = method.control == "error" and method.equations != "none"
    return "its method is implicit and chooses its steps" if chooses else None


def _adjoint_obstacles(problem: Problem, adjoint: Continuous) -> tuple[Reason, ...]:
    reasons = []
    if adjoint.callbacks:
        remedy = "remove them, or differentiate by odeint, which calls nothing in reverse"
        reasons.append(Reason("the function has adjoint callbacks", remedy))
    if not isinstance(adjoint.norm, str):
        reasons.append(Reason("the adjoint option norm is a function", "leave it out, or give 'seminorm'"))
    if problem.integration.norm is not None and adjoint.integration.method.control == "error":
        what = "the option norm is a function, which the adjoint equations are measured in as well"
        reasons.append(Reason(what, "leave the norm out, or differentiate by odeint"))
    if isinstance(adjoint.integration.rtol, Tensor) or isinstance(adjoint.integration.atol, Tensor):
        what = "adjoint_rtol or adjoint_atol differ between elements"
        reasons.append(Reason(what, "give adjoint_rtol and adjoint_atol as numbers"))
    if adjoint.integration.grid_constructor is not None:
        what = "the adjoint option grid_constructor is a function, which is given the adjoint state"
        reasons.append(Reason(what, "give step_size in adjoint_options"))
    return (*reasons, *_time_obstacles("adjoint option", adjoint.integration.options))


# With no more evaluations than this the cost of a solve beside them counts.
FEW_EVALUATIONS = 4


class Demand(NamedTuple):
    """What a solve asks of a field, as far as it decides which engine is faster.

    Attributes:
        few: Whether it is known to evaluate the field no more than ``FEW_EVALUATIONS`` times.
        gradients: Whether a reverse pass may follow.
    """

    few: bool
    gradients: bool

    @staticmethod
    def of(problem: Problem, gradient: Gradient, tensors: Iterable[Tensor]) -> Demand:
        """What a problem asks of a field that reads these tensors."""
        learned = any(x.requires_grad for x in (problem.y0, problem.t, *tensors))
        reverse = isinstance(gradient, Continuous) or learned
        return Demand(_evaluations(problem) <= FEW_EVALUATIONS, torch.is_grad_enabled() and reverse)


# The demand by which a compiled engine gains least: if it is faster for this, it is for every other.
LEAST_DEMAND = Demand(few=True, gradients=True)


def _evaluations(problem: Problem) -> float:
    """How often one solve evaluates the field; infinite where that is not known before."""
    options, method = problem.options, problem.method
    if not isinstance(options, FixedOptions) or not isinstance(method, Tableau) or problem.event is not None:
        return math.inf
    if options.on_outputs:
        steps = len(problem.times) - 1
    elif options.step_size is not None:
        steps = math.ceil((problem.times[-1] - problem.times[0]) / options.step_size)
    else:
        return math.inf
    return steps * method.stages
