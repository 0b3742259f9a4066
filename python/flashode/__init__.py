"""A drop-in ODE solver for PyTorch: the whole solve, forward and backward, in one compiled kernel."""

from flashode import paths, transforms
from flashode.compat import Patch, patch_torchdiffeq, unpatch_torchdiffeq
from flashode.engines import use_engine
from flashode.engines.build import VERSION as __version__
from flashode.engines.build import build_info
from flashode.errors import (
    AdjointWarning,
    ConvergenceWarning,
    FallbackWarning,
    MaxStepsExceeded,
    NonFiniteError,
    SolverError,
    StepSizeUnderflow,
)
from flashode.explain import Explanation, explain
from flashode.methods import METHODS
from flashode.odeint import DenseOutput, odeint, odeint_adjoint, odeint_dense, odeint_event
from flashode.precompile import Precompiled, precompile
from flashode.recording import Report, Solves, record

__all__ = [
    "METHODS",
    "AdjointWarning",
    "ConvergenceWarning",
    "DenseOutput",
    "Explanation",
    "FallbackWarning",
    "MaxStepsExceeded",
    "NonFiniteError",
    "Patch",
    "Precompiled",
    "Report",
    "SolverError",
    "Solves",
    "StepSizeUnderflow",
    "__version__",
    "build_info",
    "explain",
    "odeint",
    "odeint_adjoint",
    "odeint_dense",
    "odeint_event",
    "patch_torchdiffeq",
    "paths",
    "precompile",
    "record",
    "transforms",
    "unpatch_torchdiffeq",
    "use_engine",
]
