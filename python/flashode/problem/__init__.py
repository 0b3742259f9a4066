"""Normalisation and every check of what the user gave.

After this package a solve is a :class:`Problem`: one flat (or plain) state, strictly increasing times,
tolerances that broadcast against the state, a method and checked options. No engine looks at user input
again.
"""

from flashode.problem.adjoint import Adjoint, adjoint_parameters, make_adjoint
from flashode.problem.definition import Problem
from flashode.problem.event import Event, as_numbers
from flashode.problem.grid import fixed_grid, found_times, step_fractions
from flashode.problem.moments import as_floats, as_time, device_of
from flashode.problem.normalise import (
    DEFAULT_ATOL,
    DEFAULT_METHOD,
    DEFAULT_RTOL,
    callback_names,
    make_problem,
    make_state,
    make_times,
)
from flashode.problem.options import (
    OPTION_NAMES,
    AdamsOptions,
    AdaptiveOptions,
    FixedOptions,
    ImplicitOptions,
    Options,
    SciPyOptions,
    interpolant_of,
)
from flashode.problem.switches import as_bool
from flashode.state import State

__all__ = [
    "DEFAULT_ATOL",
    "DEFAULT_METHOD",
    "DEFAULT_RTOL",
    "OPTION_NAMES",
    "AdamsOptions",
    "AdaptiveOptions",
    "Adjoint",
    "Event",
    "FixedOptions",
    "ImplicitOptions",
    "Options",
    "Problem",
    "SciPyOptions",
    "State",
    "adjoint_parameters",
    "as_bool",
    "as_floats",
    "as_numbers",
    "as_time",
    "callback_names",
    "device_of",
    "fixed_grid",
    "found_times",
    "interpolant_of",
    "make_adjoint",
    "make_problem",
    "make_state",
    "make_times",
    "step_fractions",
]
