"""A drop-in ODE solver for PyTorch: the whole solve, forward and backward, in one compiled kernel."""

from flashode.engines import use_engine
from flashode.engines.build import VERSION as __version__
from flashode.engines.build import build_info
from flashode.errors import FallbackWarning, MaxStepsExceeded, NonFiniteError, SolverError, StepSizeUnderflow
from flashode.explain import Explanation, explain
from flashode.methods import METHODS
from flashode.odeint import odeint, odeint_adjoint

__all__ = [
    "METHODS",
    "Explanation",
    "FallbackWarning",
    "MaxStepsExceeded",
    "NonFiniteError",
    "SolverError",
    "StepSizeUnderflow",
    "__version__",
    "build_info",
    "explain",
    "odeint",
    "odeint_adjoint",
    "use_engine",
]
