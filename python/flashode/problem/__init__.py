"""Normalisation and every check of the user's arguments.

After this package a solve is a :class:`Problem`: one flat (or plain) state, strictly increasing times,
tolerances that broadcast against the state, a method and checked options; :class:`Settings` are all of it
that is no tensor and no function. No engine checks user input again.
"""

from flashode.problem.callbacks import Callback, Callbacks
from flashode.problem.definition import Problem
from flashode.problem.event import Event, as_numbers
from flashode.problem.gradient import DISCRETE, Continuous, Discrete, Gradient, make_continuous
from flashode.problem.grid import connected_times, fixed_grid, step_fractions
from flashode.problem.integration import Integration
from flashode.problem.moments import as_floats, as_time, device_of, times_or_start
from flashode.problem.normalise import DEFAULT_ATOL, DEFAULT_METHOD, DEFAULT_RTOL, make_problem
from flashode.problem.options import (
    OPTION_NAMES,
    AdamsOptions,
    AdaptiveOptions,
    FixedOptions,
    ImplicitOptions,
    SciPyOptions,
    may_be_remembered,
)
from flashode.problem.settings import Integrator, Settings
from flashode.problem.switches import as_bool
from flashode.problem.times import OutputTimes
from flashode.state import State

__all__ = [
    "DEFAULT_ATOL",
    "DEFAULT_METHOD",
    "DEFAULT_RTOL",
    "DISCRETE",
    "OPTION_NAMES",
    "AdamsOptions",
    "AdaptiveOptions",
    "Callback",
    "Callbacks",
    "Continuous",
    "Discrete",
    "Event",
    "FixedOptions",
    "Gradient",
    "ImplicitOptions",
    "Integration",
    "Integrator",
    "OutputTimes",
    "Problem",
    "SciPyOptions",
    "Settings",
    "State",
    "as_bool",
    "as_floats",
    "as_numbers",
    "as_time",
    "connected_times",
    "device_of",
    "fixed_grid",
    "make_continuous",
    "make_problem",
    "may_be_remembered",
    "step_fractions",
    "times_or_start",
]
