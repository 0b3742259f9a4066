"""What each engine lacks: one column an engine. What a column does not name the engine must take.

The rows are in ``features``. A test over engines that an engine declines is skipped if the engine's column
names a feature that the solve asked for, with the reason that the engine gave, and fails otherwise;
``conftest`` sees to that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from features import Call, asked
from flashode.engines import EngineDeclined
from flashode.methods import METHODS

_NO_COMPILED_ENGINE_TAKES = {
    **dict.fromkeys(
        ("explicit_adams", "implicit_adams", "fixed_adams"), "its method is no Runge-Kutta method"
    ),
    "scipy_solver": "SciPy runs its solvers itself",
    "complex state": "its state is torch.complex",
    "half precision": "its state is torch.float16",
    "empty state": "its state is empty",
    "callbacks": "the function has callbacks",
    "adjoint callbacks": "the function has adjoint callbacks",
    "time in float32": "the option dtype is torch.float32",
    "adjoint time in float32": "the adjoint option dtype is torch.float32",
    "gradient in step_size, event": "the option step_size requires grad",
    "norm in the adjoint": "the option norm is a function",
    "adjoint norm": "the adjoint option norm is a function",
    "adjoint tolerances of elements": "adjoint_rtol or adjoint_atol differ between elements",
    "adjoint grid_constructor": "the adjoint option grid_constructor is a function",
    "forward mode": "forward-mode differentiation is active",
    "numbers in the field": "it turns a tensor into a Python number",
}
_EQUATIONS = [name for name, method in METHODS.items() if method.equations != "none"]

# Those of engines in whose kernels the interpreter cannot be called, and which solve no equations.
_EXPLICIT = {
    **_NO_COMPILED_ENGINE_TAKES,
    **dict.fromkeys((*_EQUATIONS, "max_iters", "many coupled equations"), "its method is implicit"),
    "event that reads numbers": "its event function is called from Python",
    "norm": "its norm is called from Python",
}

# engine -> feature -> what the reason that it gives begins with
LACKS: dict[str, dict[str, str]] = {
    "eager": {},
    "native": {**_NO_COMPILED_ENGINE_TAKES, "many coupled equations": "radauIIA5 solves "},
    "cuda": _EXPLICIT,
    "numba": _EXPLICIT,
}


def excuse(engine: str, declined: EngineDeclined, call: Call, marked: Iterable[str] = ()) -> str | None:
    """What the engine's column says to a solve that it declined; None if it is to take it.

    Args:
        engine: Which one.
        declined: What it raised.
        call: The solve's arguments.
        marked: Features that the arguments do not show.
    """
    _, _, reasons = str(declined).partition(" because ")
    features = asked(call) | set(marked)
    for feature, reason in LACKS.get(engine, {}).items():
        if feature in features and re.match(re.escape(reason), reasons):
            return f"{engine} lacks {feature}: {reasons}"
    return None
